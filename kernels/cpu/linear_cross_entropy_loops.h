// The loops of linear_cross_entropy for one vector path.

#include "gemm_tile.h"
#include "gemm_panels.h"
#include "gemm_pack.h"

// The words of a slab, packed both ways, stay in the second-level cache, which is larger where there is AMX.
inline constexpr int64_t kEntropySlabBytes = kHasTiles ? 1 << 20 : 1 << 19;
inline constexpr int64_t kMostSlabWords = 192;

// exp of x <= 0 (Cephes' expf: 2^n times a polynomial of the rest); 0 below -87, NaN stays.
ROCIT_INLINE NativeFloat ExpOfNegative(NativeFloat x) {
  const NativeFloat least = Splat(-87.0f);
  const NativeFloat bounded = x < least ? least : x;
  const NativeFloat magic = Splat(12582912.0f);  // rounds to an integer by addition
  const NativeFloat shifted = MulAdd(bounded, Splat(1.44269504088896341f), magic);
  const NativeFloat n = shifted - magic;
  NativeFloat r = MulAdd(n, Splat(-0.693359375f), bounded);
  r = MulAdd(n, Splat(2.12194440e-4f), r);
  NativeFloat y = Splat(1.9875691500e-4f);
  for (const float term : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f}) {
    y = MulAdd(y, r, Splat(term));
  }
  y = MulAdd(y * r, r, r) + Splat(1.0f);
  const NativeBits power = ((NativeBits)shifted - (NativeBits)magic) << 23;
  const NativeFloat result = (NativeFloat)((NativeBits)y + power);
  return x < least ? NativeFloat{} : result;
}

ROCIT_INLINE float LargestOf(const float* from, int64_t count, float largest) {
  NativeFloat most = Splat(largest);
  for (int64_t j = 0; j < count; j += kWidth) {
    const NativeFloat value = LoadWide(from + j);
    most = value > most ? value : most;
  }
  for (int i = 0; i < kWidth; ++i) largest = most[i] > largest ? most[i] : largest;
  return largest;
}

// to[j] = exp(from[j] - largest); their sum.
template <class T>
ROCIT_INLINE float ExpRow(const float* from, int64_t count, float largest, T* to) {
  NativeFloat sum{};
  const NativeFloat top = Splat(largest);
  for (int64_t j = 0; j < count; j += kWidth) {
    const NativeFloat value = ExpOfNegative(LoadWide(from + j) - top);
    StoreNarrow(to + j, value);
    sum = sum + value;
  }
  float total = 0;
  for (int i = 0; i < kWidth; ++i) total += sum[i];
  return total;
}

ROCIT_INLINE void ScaleRow(float* row, int64_t count, float factor) {
  for (int64_t j = 0; j < count; j += kWidth) {
    StoreNarrowSome(row + j, LoadWideSome(row + j, count - j) * Splat(factor), count - j);
  }
}

// The logits of one row of a slab go into its running maximum, sum and pull; `to` gets the exponentials.
template <class T>
ROCIT_INLINE void TakeLogits(const EntropyPiece& piece, int64_t row, const float* logits, int64_t width, T* to) {
  float& largest = piece.largest[row];
  const float before = largest;
  largest = LargestOf(logits, width, before);
  // Before the first slab the sum is 0 and the factor of no account.
  const float factor = before == largest || piece.sums[row] == 0 ? 1.0f : __builtin_expf(before - largest);
  piece.sums[row] = piece.sums[row] * factor + ExpRow(logits, width, largest, to);
  if (piece.pulls != nullptr && factor != 1) {
    ScaleRow(piece.pulls + row * piece.args->hidden_size, piece.args->hidden_size, factor);
  }
}

ROCIT_INLINE void TakeTargets(const EntropyPiece& piece, int64_t row, const float* logits, int64_t begin, int64_t end) {
  for (int64_t i = piece.edges->first[row]; i < piece.edges->first[row + 1]; ++i) {
    const int32_t edge = piece.edges->order[i];
    const int64_t target = piece.args->edge_targets[edge];
    if (target >= begin && target < end) piece.target_logits[edge] = logits[target - begin];
  }
}

inline int64_t SlabWords(const RocitLinearCrossEntropyArgs& args) {
  const int64_t size = kHasTiles && args.dtype == ROCIT_FLOAT32 ? 6 : SizeOf(args.dtype);
  const int64_t bytes = 2 * size * (args.hidden_size > 0 ? args.hidden_size : 1);
  const int64_t fitting = kEntropySlabBytes / bytes / 32 * 32;
  return fitting < 32 ? 32 : fitting > kMostSlabWords ? kMostSlabWords : fitting;
}

// One slab of words, packed for the logits and for the pulls.
struct EntropySlab {
  Segment logits, pulls;
  const uint32_t *packed_logits, *packed_pulls;
  int64_t begin, end, width;  // width: words with padding
};

// T: of the exponentials.
template <class T>
ROCIT_INLINE void TakeRows(const EntropyPiece& piece, const EntropySlab& slab, int64_t row, int64_t rows, float* room,
                           float* logits, T* exps, TileRegisters* registers) {
  const RocitLinearCrossEntropyArgs& args = *piece.args;
  const int64_t words = slab.end - slab.begin;
  const RowView view = ViewRows(slab.logits, row, rows, slab.packed_logits, room);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = words; j < slab.width; ++j) logits[r * slab.width + j] = -__builtin_inff();
  }
  MultiplyPanels(rows, &view, 1, {logits, slab.width, words, ROCIT_FLOAT32, nullptr, 0}, registers);
  for (int64_t r = 0; r < rows; ++r) {
    TakeTargets(piece, row + r, logits + r * slab.width, slab.begin, slab.end);
    TakeLogits(piece, row + r, logits + r * slab.width, slab.width, exps + r * slab.width);
  }
  if (piece.pulls == nullptr) return;
  const RowView weights = ViewRows(slab.pulls, 0, rows, slab.packed_pulls, room);
  float* to = piece.pulls + row * args.hidden_size;
  MultiplyPanels(rows, &weights, 1,
                 {to, args.hidden_size, args.hidden_size, ROCIT_FLOAT32, nullptr, 1}, registers);
}

inline void TakePiece(const EntropyPiece& piece) {
  const RocitLinearCrossEntropyArgs& args = *piece.args;
  const int64_t C = args.hidden_size, step = SlabWords(args), width = (step + kPanel - 1) / kPanel * kPanel;
  const bool has_pairs = kHasPairs && args.dtype == ROCIT_BFLOAT16;
  const RocitDtype exps_dtype = has_pairs ? ROCIT_BFLOAT16 : ROCIT_FLOAT32;
  EntropySlab slab;  // of as many words as there may be, until its words are known
  slab.logits = {{piece.edges->x, args.dtype, C, false}, {nullptr, args.dtype, C, true}, C, 1, nullptr};
  slab.pulls = {{nullptr, exps_dtype, width, false}, {nullptr, args.dtype, C, false}, step, 1, nullptr};
  uint32_t* packed = ThreadScratch<uint32_t>(Scratch::kPanels, PackedWords(slab.logits, step) + PackedWords(slab.pulls, C));
  float* room = ThreadScratch<float>(Scratch::kRows, std::max(RoomWords(slab.logits), RoomWords(slab.pulls)));
  float* logits = ThreadScratch<float>(Scratch::kTile, kGroupRows * width);
  float* exps = ThreadScratch<float>(Scratch::kSums, kGroupRows * width);
  TileRegisters registers;
  for (int64_t row = piece.row_begin; row < piece.row_end; ++row) {
    piece.largest[row] = -__builtin_inff();
    piece.sums[row] = 0;
    for (int64_t c = 0; piece.pulls != nullptr && c < C; ++c) piece.pulls[row * C + c] = 0;
  }
  for (int64_t word = piece.word_begin; word < piece.word_end; word += step) {
    const int64_t end = word + step < piece.word_end ? word + step : piece.word_end;
    const void* weight = At(args.weight, args.dtype, word * C);
    slab.begin = word;
    slab.end = end;
    slab.width = (end - word + kPanel - 1) / kPanel * kPanel;
    slab.logits.b.data = slab.pulls.b.data = weight;
    slab.pulls.a.data = exps;
    slab.pulls.a.stride = slab.width;
    slab.pulls.depth = end - word;
    slab.packed_logits = packed;
    slab.packed_pulls = packed + PackedWords(slab.logits, end - word);
    PackSlab(slab.logits, 0, end - word, packed);
    if (piece.pulls != nullptr) PackSlab(slab.pulls, 0, C, packed + PackedWords(slab.logits, end - word));
    for (int64_t row = piece.row_begin; row < piece.row_end;) {
      const int64_t rows = NextRows(piece.row_end - row);
      if (has_pairs) TakeRows(piece, slab, row, rows, room, logits, reinterpret_cast<Bfloat16*>(exps), &registers);
      else TakeRows(piece, slab, row, rows, room, logits, exps, &registers);
      row += rows;
    }
  }
}

// to[c] += factor from[c]
template <class T>
ROCIT_INLINE void AddScaled(const T* from, int64_t count, float factor, float* to) {
  for (int64_t c = 0; c < count; c += kWidth) {
    const NativeFloat sum = MulAdd(LoadWideSome(from + c, count - c), Splat(factor), LoadWideSome(to + c, count - c));
    StoreNarrowSome(to + c, sum, count - c);
  }
}

template <class T>
ROCIT_INLINE void JoinGradient(const EntropyJoin& join, int64_t row, float largest, float sum) {
  const RocitLinearCrossEntropyArgs& args = *join.args;
  const EdgeRows& edges = *join.edges;
  const int64_t C = args.hidden_size;
  float* total = ThreadScratch<float>(Scratch::kRows, C);
  for (int64_t c = 0; c < C; ++c) total[c] = 0;
  float weight = 0;
  for (int64_t i = edges.first[row]; i < edges.first[row + 1]; ++i) weight += args.edge_weights[edges.order[i]];
  for (int64_t p = 0; p < join.num_parts; ++p) {
    const int64_t at = p * edges.count + row;
    AddScaled(join.pulls + at * C, C, __builtin_expf(join.largest[at] - largest) * (weight / sum), total);
  }
  for (int64_t i = edges.first[row]; i < edges.first[row + 1]; ++i) {
    const int64_t target = args.edge_targets[edges.order[i]];
    AddScaled(static_cast<const T*>(args.weight) + target * C, C, -args.edge_weights[edges.order[i]], total);
  }
  T* dx = static_cast<T*>(args.dx) + edges.rows[row] * C;
  for (int64_t c = 0; c < C; c += kWidth) StoreNarrowSome(dx + c, LoadWideSome(total + c, C - c), C - c);
}

template <class T>
void JoinRows(const EntropyJoin& join, int64_t begin, int64_t end) {
  const EdgeRows& edges = *join.edges;
  for (int64_t row = begin; row < end; ++row) {
    float largest = join.largest[row], sum = 0;
    for (int64_t p = 1; p < join.num_parts; ++p) {
      const float other = join.largest[p * edges.count + row];
      largest = other > largest ? other : largest;
    }
    for (int64_t p = 0; p < join.num_parts; ++p) {
      sum += join.sums[p * edges.count + row] * __builtin_expf(join.largest[p * edges.count + row] - largest);
    }
    for (int64_t i = edges.first[row]; i < edges.first[row + 1]; ++i) {
      const int32_t edge = edges.order[i];
      join.args->edge_losses[edge] = __builtin_logf(sum) - (join.target_logits[edge] - largest);
    }
    if (join.args->dx != nullptr) JoinGradient<T>(join, row, largest, sum);
  }
}
