// Backward of tree_attention for one vector path: a tile of keys meets the tiles of rows that see it. dk and dv are summed
// in the tile; dq goes to sums of the chunk of keys, which are added up in order afterwards. Scores are [rows, keys].

#include "tile_product.h"
#include "tree_attention_tiles.h"
#include "tree_attention_product.h"

struct BackwardTile {
  int64_t rows, begin, end;  // keys that some row sees lie in columns [begin, end) of the tile, multiples of kLanes
  bool is_full;              // every row sees all of these
  uint32_t key[kTileKeys], span[kTileKeys];  // as in the forward; span 0 behind the last key
  float *k_columns, *v_columns;      // [depth of D, keys]
  float* k_rows;                     // [depth of keys, D]
  float *q_depth, *dout_depth;       // [rows, depth of D]
  float *q_rows, *dout_rows;         // [depth of rows, D]
  float *scores, *slopes;            // [rows, keys]: s and dout . v
  float *weights, *pulls;            // [depth of rows, keys]: p and ds
  float* pull_rows;                  // [rows, depth of keys]: ds
  float *dk, *dv;                    // [keys, D]
  int64_t head_stride;
};

template <class E, class T>
void LoadKeys(const RocitTreeAttentionInputs& in, const AttentionRows& rows, int64_t first, BackwardTile* t) {
  const int64_t D = in.head_dim, count = std::min(kTileKeys, in.num_keys - first);
  // As depth they are needed only until they are transposed.
  float *k_depth = t->dk, *v_depth = t->dv;
  for (int64_t j = 0; j < kTileKeys; ++j) {
    t->key[j] = static_cast<uint32_t>(first + j);
    t->span[j] = j < count ? static_cast<uint32_t>(in.subtree_end[first + j] - (first + j)) : 0;
    if (j >= count) continue;
    const int64_t offset = rows.KeyOffset(first + j);
    E::CopyRow(static_cast<const T*>(in.k) + offset, D, k_depth + j * t->head_stride);
    E::CopyRow(static_cast<const T*>(in.v) + offset, D, v_depth + j * t->head_stride);
  }
  const int64_t row_size = t->head_stride * static_cast<int64_t>(sizeof(float)), size = kTileKeys * row_size;
  std::memset(t->k_rows, 0, size);
  // Columns behind the last key are read, too.
  for (float* piece : {k_depth, v_depth}) std::memset(piece + count * t->head_stride, 0, size - count * row_size);
  Transpose(k_depth, t->head_stride, kTileKeys, E::Depth(D), t->k_columns, kKeyStride);
  Transpose(v_depth, t->head_stride, kTileKeys, E::Depth(D), t->v_columns, kKeyStride);
  for (float* piece : {t->dk, t->dv}) std::memset(piece, 0, size);
  const T* k = static_cast<const T*>(in.k);
  for (int64_t j = 0; j < count; j += 2) {
    const T* second = j + 1 < count ? k + rows.KeyOffset(first + j + 1) : nullptr;
    E::PackRows(k + rows.KeyOffset(first + j), second, j, D, t->k_rows, t->head_stride);
  }
}

// The columns of the tile that tokens [first, last] see, and whether all see all.
inline void FindColumns(int64_t first, int64_t last, BackwardTile* t) {
  int64_t begin = kTileKeys, end = 0;
  for (int64_t j = 0; j < kTileKeys; ++j) {
    const int64_t key = t->key[j];
    if (key > last || key + t->span[j] <= first) continue;
    begin = std::min(begin, j);
    end = j + 1;
  }
  t->begin = std::min(begin, end) / kLanes * kLanes;
  t->end = RoundUp(end, kLanes);
  t->is_full = true;
  for (int64_t j = t->begin; j < t->end; ++j) {
    t->is_full = t->is_full && t->key[j] <= first && t->key[j] + static_cast<int64_t>(t->span[j]) > last;
  }
}

template <class E, class T>
void LoadRows(const RocitTreeAttentionGradArgs& args, const AttentionRows& rows, int64_t first, BackwardTile* t) {
  const int64_t D = args.in.head_dim;
  const T *q = static_cast<const T*>(args.in.q), *dout = static_cast<const T*>(args.dout);
  for (int64_t r = 0; r < t->rows; r += 2) {
    const int64_t one = rows.Index(first + r) * D, two = r + 1 < t->rows ? rows.Index(first + r + 1) * D : -1;
    E::PackRows(q + one, two >= 0 ? q + two : nullptr, r, D, t->q_rows, t->head_stride);
    E::PackRows(dout + one, two >= 0 ? dout + two : nullptr, r, D, t->dout_rows, t->head_stride);
  }
  for (int64_t r = 0; E::kDepth > 1 && r < t->rows; ++r) {
    const int64_t offset = rows.Index(first + r) * D;
    E::CopyRow(q + offset, D, t->q_depth + r * t->head_stride);
    E::CopyRow(dout + offset, D, t->dout_depth + r * t->head_stride);
  }
  for (int64_t r = first + kTileRows; r < std::min(first + 2 * kTileRows, rows.count); ++r) {
    Prefetch(q + rows.Index(r) * D, D);
    Prefetch(dout + rows.Index(r) * D, D);
  }
}

// What a row's scores are compared with.
struct RowFacts {
  uint32_t token;
  float shift, mean;  // -log2(e) lse, delta
};

struct Pulled {
  Floats weight, pull;
};

// p = 2^(scale log2(e) s - log2(e) lse) and ds = p (dout . v - delta) of a row in sixteen columns.
template <bool kIsMasked>
ROCIT_INLINE Pulled PullLanes(const BackwardTile& t, int64_t r, int64_t c, float scale, const RowFacts& row) {
  const int64_t at = r * kKeyStride + c;
  const Floats weight = Exp2(MultiplyAdd(Load(t.scores + at), Broadcast(scale), Broadcast(row.shift)));
  const Floats pull = weight * (Load(t.slopes + at) - Broadcast(row.mean));
  if (!kIsMasked) return {weight, pull};
  const Words token = BroadcastWord(row.token), keys = LoadWords(t.key + c), spans = LoadWords(t.span + c);
  return {WhereWithin(token, keys, spans, weight, Floats{}), WhereWithin(token, keys, spans, pull, Floats{})};
}

// Rows r and r + 1, the second only where there is one.
template <class E, bool kIsMasked>
ROCIT_INLINE void PullRows(const BackwardTile& t, int64_t r, float scale, const RowFacts* facts) {
  const bool has_second = r + 1 < t.rows;
  for (int64_t c = t.begin; c < t.end; c += kLanes) {
    const Pulled one = PullLanes<kIsMasked>(t, r, c, scale, facts[0]);
    const Pulled two = has_second ? PullLanes<kIsMasked>(t, r + 1, c, scale, facts[1]) : Pulled{};
    E::StoreRows(t.weights, r, kKeyStride, c, one.weight, two.weight);
    E::StoreRows(t.pulls, r, kKeyStride, c, one.pull, two.pull);
    if (E::kDepth == 1) continue;
    E::StoreDepth(t.pull_rows + r * kKeyStride, c, one.pull);
    E::StoreDepth(t.pull_rows + (r + 1) * kKeyStride, c, two.pull);
  }
}

// Adds what a tile of rows gives to dk and dv, and to its dq.
template <class E>
void PullTile(const RocitTreeAttentionGradArgs& args, const float* delta, const AttentionRows& rows, int64_t first,
              BackwardTile* t, float* dq, bool adds) {
  using Word = typename E::Word;
  const RocitTreeAttentionInputs& in = args.in;
  const int64_t depth = E::Depth(in.head_dim), stride = t->head_stride, begin = t->begin, keys = t->end - begin;
  Multiply<Word, Neighbours::kDepth>(
      {t->rows, keys, depth, t->q_depth, stride, t->k_columns + begin, kKeyStride, t->scores + begin, kKeyStride, false});
  Multiply<Word, Neighbours::kDepth>(
      {t->rows, keys, depth, t->dout_depth, stride, t->v_columns + begin, kKeyStride, t->slopes + begin, kKeyStride, false});
  for (int64_t r = 0; r < t->rows; r += 2) {
    RowFacts facts[2] = {};
    for (int64_t i = 0; i < std::min<int64_t>(2, t->rows - r); ++i) {
      const int64_t row = first + r + i, index = rows.Index(row);
      facts[i] = {static_cast<uint32_t>(in.query_start + rows.Query(row)), -kLog2E * args.lse[index], delta[index]};
    }
    if (t->is_full) {
      PullRows<E, false>(*t, r, in.scale * kLog2E, facts);
    } else {
      PullRows<E, true>(*t, r, in.scale * kLog2E, facts);
    }
  }
  const int64_t row_depth = E::Depth(t->rows), key_depth = E::Depth(keys), at = begin / E::kDepth;
  Multiply<Word, Neighbours::kRows>({keys, stride, row_depth, t->weights + begin, kKeyStride, t->dout_rows, stride,
                                     t->dv + begin * stride, stride, true});
  Multiply<Word, Neighbours::kRows>({keys, stride, row_depth, t->pulls + begin, kKeyStride, t->q_rows, stride,
                                     t->dk + begin * stride, stride, true});
  Multiply<Word, Neighbours::kDepth>(
      {t->rows, stride, key_depth, t->pull_rows + at, kKeyStride, t->k_rows + at * stride, stride, dq, stride, adds});
}

template <class T>
void StoreKeys(const RocitTreeAttentionGradArgs& args, const AttentionRows& rows, int64_t first, const BackwardTile& t) {
  const int64_t D = args.in.head_dim, count = std::min(kTileKeys, args.in.num_keys - first);
  const Floats scale = Broadcast(args.in.scale);
  for (int64_t j = 0; j < count; ++j) {
    const int64_t offset = rows.KeyOffset(first + j);
    for (int64_t d = 0; d < D; d += kLanes) {
      StorePart(static_cast<T*>(args.dk) + offset, Load(t.dk + j * t.head_stride + d) * scale, d, D);
      StorePart(static_cast<T*>(args.dv) + offset, Load(t.dv + j * t.head_stride + d), d, D);
    }
  }
}

template <class E>
void TakeTile(TileMemory* memory, int64_t head_dim, BackwardTile* t) {
  t->head_stride = Padded(head_dim);
  for (float** piece : {&t->scores, &t->slopes, &t->weights, &t->pulls}) *piece = memory->Take(kTileRows * kKeyStride);
  for (float** piece : {&t->k_columns, &t->v_columns}) *piece = memory->Take(kKeyStride * t->head_stride);
  for (float** piece : {&t->k_rows, &t->dk, &t->dv}) *piece = memory->Take(kTileKeys * t->head_stride);
  for (float** piece : {&t->q_rows, &t->dout_rows}) *piece = memory->Take(kTileRows * t->head_stride);
  // Single words are the same as depth and as columns.
  const bool is_single = E::kDepth == 1;
  t->pull_rows = is_single ? t->pulls : memory->Take(kTileRows * kKeyStride);
  t->q_depth = is_single ? t->q_rows : memory->Take(kTileRows * t->head_stride);
  t->dout_depth = is_single ? t->dout_rows : memory->Take(kTileRows * t->head_stride);
}

// dk and dv of a chunk of keys, and its part of dq from row tile chunk.rows.begin on.
template <class E, class T>
void PullChunk(const RocitTreeAttentionGradArgs& args, const GradPlan& plan, const KeyChunk& chunk, int64_t key_head,
               TileMemory* memory) {
  const RocitTreeAttentionInputs& in = args.in;
  const AttentionRows rows(in, key_head);
  const float* delta = static_cast<const float*>(args.workspace);
  float* dq = static_cast<float*>(args.workspace) + plan.Part(chunk, key_head);
  BackwardTile t;
  TakeTile<E>(memory, in.head_dim, &t);
  int64_t reached = chunk.rows.begin;
  for (int64_t tile = chunk.begin; tile < chunk.end; ++tile) {
    const Range range = plan.seen_by[tile];
    LoadKeys<E, T>(in, rows, tile * kTileKeys, &t);
    for (int64_t row_tile = range.begin; row_tile < range.end; ++row_tile) {
      const int64_t first = row_tile * kTileRows;
      t.rows = std::min(kTileRows, rows.count - first);
      FindColumns(in.query_start + rows.Query(first), in.query_start + rows.Query(first + t.rows - 1), &t);
      LoadRows<E, T>(args, rows, first, &t);
      float* to = dq + (row_tile - chunk.rows.begin) * kTileRows * t.head_stride;
      PullTile<E>(args, delta, rows, first, &t, to, row_tile < reached);
    }
    reached = std::max(reached, range.end);
    StoreKeys<T>(args, rows, tile * kTileKeys, t);
  }
}

inline void PullAnyChunk(const RocitTreeAttentionGradArgs& args, const GradPlan& plan, const KeyChunk& chunk,
                         int64_t key_head, TileMemory* memory) {
  if (args.in.dtype == ROCIT_FLOAT32) {
    PullChunk<Widened<float>, float>(args, plan, chunk, key_head, memory);
  } else {
#if defined(ROCIT_AMX)
    TileRegisters registers;
    registers.Configure(32);
#endif
#if ROCIT_PAIRS
    PullChunk<Paired, Bfloat16>(args, plan, chunk, key_head, memory);
#else
    PullChunk<Widened<Bfloat16>, Bfloat16>(args, plan, chunk, key_head, memory);
#endif
  }
}

// delta of the heads of queries [begin, end).
template <class T>
void DotOutputs(const RocitTreeAttentionGradArgs& args, int64_t begin, int64_t end) {
  const int64_t D = args.in.head_dim;
  float* delta = static_cast<float*>(args.workspace);
  for (int64_t i = begin * args.in.num_heads; i < end * args.in.num_heads; ++i) {
    const T *out = static_cast<const T*>(args.out) + i * D, *dout = static_cast<const T*>(args.dout) + i * D;
    Floats sum = {};
    for (int64_t d = 0; d < D; d += kLanes) sum = MultiplyAdd(LoadPart(out, d, D), LoadPart(dout, d, D), sum);
    delta[i] = Total(sum);
  }
}

// dq of a tile of rows: the parts of the chunks in order.
template <class T>
void SumParts(const RocitTreeAttentionGradArgs& args, const GradPlan& plan, int64_t key_head, int64_t row_tile) {
  const AttentionRows rows(args.in, key_head);
  const int64_t D = args.in.head_dim, stride = Padded(D), first = row_tile * kTileRows;
  const Floats scale = Broadcast(args.in.scale);
  for (int64_t r = 0; r < std::min(kTileRows, rows.count - first); ++r) {
    T* to = static_cast<T*>(args.dq) + rows.Index(first + r) * D;
    for (int64_t d = 0; d < D; d += kLanes) {
      Floats sum = {};
      for (const KeyChunk& chunk : plan.chunks) {
        if (row_tile < chunk.rows.begin || row_tile >= chunk.rows.end) continue;
        const int64_t row = (row_tile - chunk.rows.begin) * kTileRows + r;
        const float* part = static_cast<const float*>(args.workspace) + plan.Part(chunk, key_head);
        sum = sum + Load(part + row * stride + d);
      }
      StorePart(to, sum * scale, d, D);
    }
  }
}
