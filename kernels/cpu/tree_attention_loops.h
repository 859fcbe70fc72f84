// Forward of tree_attention for one vector path: a tile of rows meets its visible keys, some at a time, with a running
// maximum and sum a row (online softmax). Scores are kept transposed [keys, rows], so that maxima and sums are lane by lane.

#include "tile_product.h"
#include "tree_attention_tiles.h"
#include "tree_attention_product.h"

// Up to kTileKeys keys that some row of a tile sees.
struct VisibleKeys {
  int64_t count, last_end;  // the largest bound
  bool are_full;            // every row sees all of them
  int32_t key[kTileKeys];
  uint32_t span[kTileKeys];  // the key is seen from itself on, by so many tokens
};

// Collects keys from *at on that tokens [first, last] see. Bounds nest: below a key that ended, all keys have.
inline void CollectKeys(const int32_t* subtree_end, int64_t first, int64_t last, int64_t* at, VisibleKeys* keys) {
  keys->count = 0;
  keys->last_end = 0;
  keys->are_full = true;
  while (keys->count < kTileKeys && *at <= last) {
    const int64_t key = *at, end = subtree_end[key];
    if (end <= first) {
      *at = end;
      continue;
    }
    keys->key[keys->count] = static_cast<int32_t>(key);
    keys->span[keys->count] = static_cast<uint32_t>(end - key);
    keys->last_end = std::max(keys->last_end, end);
    keys->are_full = keys->are_full && key <= first && end > last;
    keys->count += 1;
    *at += 1;
  }
}

struct ForwardTile {
  int64_t rows, begin, end;    // lanes [begin, end), multiples of kLanes, see some of the keys at hand
  uint32_t token[kTileRows];   // of each lane; behind the rows ~0, which sees nothing
  float *top, *sum, *factor;   // running maximum of scores times log2(e), sum of 2^(score - maximum), what to scale by
  float *q, *k, *v;            // [depth of D, rows], [keys, depth of D], [depth of keys, D]
  float *scores, *weights;     // [keys, rows], [depth of keys, rows]
  float* out;                  // [rows, D]
  float *few_rows, *few_keys, *few_scores;  // of a tile of few rows: [rows, depth of D], [depth of D, keys], [rows, keys]
  int64_t head_stride;
};

// The lanes of the tokens from the first key on and below the last bound.
inline void FindLanes(const VisibleKeys& keys, ForwardTile* t) {
  int64_t begin = 0, end = t->rows;
  while (begin < end && t->token[begin] < static_cast<uint32_t>(keys.key[0])) ++begin;
  while (end > begin && t->token[end - 1] >= static_cast<uint32_t>(keys.last_end)) --end;
  t->begin = begin / kLanes * kLanes;
  t->end = Padded(end);
}

// The scores of a key in sixteen lanes, times log2(e); -inf where a row does not see the key.
template <bool kIsMasked>
ROCIT_INLINE Floats ScaledScore(const ForwardTile& t, const VisibleKeys& keys, float scale, int64_t lane, int64_t j) {
  const Floats score = Load(t.scores + j * kRowStride + lane) * Broadcast(scale);
  if (!kIsMasked) return score;
  return WhereWithin(LoadWords(t.token + lane), BroadcastWord(keys.key[j]), BroadcastWord(keys.span[j]), score,
                     Broadcast(-__builtin_inff()));
}

// Scores to weights relative to the running maximum, which moves up; earlier sums are scaled down to it.
template <class E, bool kIsMasked>
ROCIT_INLINE void WeighLanes(ForwardTile* t, const VisibleKeys& keys, float scale, int64_t lane) {
  const Floats before = Load(t->top + lane);
  Floats top = before, top2 = before;
  int64_t j = 0;
  for (; j + 2 <= keys.count; j += 2) {
    top = Max(ScaledScore<kIsMasked>(*t, keys, scale, lane, j), top);
    top2 = Max(ScaledScore<kIsMasked>(*t, keys, scale, lane, j + 1), top2);
  }
  if (j < keys.count) top = Max(ScaledScore<kIsMasked>(*t, keys, scale, lane, j), top);
  top = Max(top, top2);
  // Rows that saw nothing so far: any finite maximum makes their weights zero.
  const Floats base = Max(top, Broadcast(-3e38f));
  Floats sum = {}, sum2 = {};
  for (j = 0; j + 2 <= keys.count; j += 2) {
    const Floats a = Exp2(ScaledScore<kIsMasked>(*t, keys, scale, lane, j) - base);
    const Floats b = Exp2(ScaledScore<kIsMasked>(*t, keys, scale, lane, j + 1) - base);
    sum = sum + a;
    sum2 = sum2 + b;
    E::StoreRows(t->weights, j, kRowStride, lane, a, b);
  }
  if (j < keys.count) {
    const Floats a = Exp2(ScaledScore<kIsMasked>(*t, keys, scale, lane, j) - base);
    sum = sum + a;
    E::StoreRows(t->weights, j, kRowStride, lane, a, Floats{});
  }
  const Floats down = Exp2(before - base);
  Store(t->top + lane, top);
  Store(t->factor + lane, down);
  Store(t->sum + lane, MultiplyAdd(Load(t->sum + lane), down, sum + sum2));
}

template <class E>
void ScoreKeys(ForwardTile* t, const VisibleKeys& keys, int64_t depth) {
  using Word = typename E::Word;
  const int64_t stride = t->head_stride, lanes = t->end - t->begin;
  if (t->rows > kFewRows) {
    Multiply<Word, Neighbours::kDepth>({keys.count, lanes, depth, t->k, stride, t->q + t->begin, kRowStride,
                                        t->scores + t->begin, kRowStride, false});
    return;
  }
  // Most lanes would be empty: keys become the lanes.
  Transpose(t->k, stride, keys.count, depth, t->few_keys, kKeyStride);
  Multiply<Word, Neighbours::kDepth>({t->rows, Padded(keys.count), depth, t->few_rows, stride, t->few_keys, kKeyStride,
                                      t->few_scores, kKeyStride, false});
  Transpose(t->few_scores, kKeyStride, t->rows, keys.count, t->scores, kRowStride);
}

template <class E>
void AddKeys(ForwardTile* t, const VisibleKeys& keys, const RocitTreeAttentionInputs& in) {
  const int64_t stride = t->head_stride, begin = t->begin, rows = std::min(t->end, t->rows) - begin;
  ScoreKeys<E>(t, keys, E::Depth(in.head_dim));
  const float scale = in.scale * kLog2E;
  for (int64_t lane = begin; lane < t->end; lane += kLanes) {
    if (keys.are_full) {
      WeighLanes<E, false>(t, keys, scale, lane);
    } else {
      WeighLanes<E, true>(t, keys, scale, lane);
    }
  }
  for (int64_t r = begin; r < begin + rows; ++r) {
    if (t->factor[r] == 1.0f) continue;
    float* row = t->out + r * stride;
    for (int64_t d = 0; d < stride; d += kLanes) Store(row + d, Load(row + d) * Broadcast(t->factor[r]));
  }
  Multiply<typename E::Word, Neighbours::kRows>({rows, stride, E::Depth(keys.count), t->weights + begin, kRowStride, t->v,
                                                 stride, t->out + begin * stride, stride, true});
}

inline void TakeTile(TileMemory* memory, int64_t head_dim, ForwardTile* t) {
  t->head_stride = Padded(head_dim);
  for (float** piece : {&t->top, &t->sum, &t->factor}) *piece = memory->Take(kTileRows);
  for (float** piece : {&t->scores, &t->weights}) *piece = memory->Take(kRowStride * kTileKeys);
  for (float** piece : {&t->k, &t->v}) *piece = memory->Take(kTileKeys * t->head_stride);
  for (float** piece : {&t->q, &t->out}) *piece = memory->Take(kRowStride * t->head_stride);
  t->few_rows = memory->Take(kFewRows * t->head_stride);
  t->few_keys = memory->Take(kKeyStride * t->head_stride);
  t->few_scores = memory->Take(kFewRows * kKeyStride);
}

template <class E, class T>
void LoadRows(const RocitTreeAttentionInputs& in, const AttentionRows& rows, int64_t first, ForwardTile* t) {
  for (int64_t r = 0; r < kTileRows; ++r) {
    t->top[r] = -__builtin_inff();
    t->sum[r] = 0;
    t->token[r] = r < t->rows ? static_cast<uint32_t>(in.query_start + rows.Query(first + r)) : ~0u;
    if (r >= t->rows) continue;
    // As depth in `out`, which is not needed yet.
    const T* q = static_cast<const T*>(in.q) + rows.Index(first + r) * in.head_dim;
    E::CopyRow(q, in.head_dim, t->out + r * t->head_stride);
  }
  Transpose(t->out, t->head_stride, t->rows, E::Depth(in.head_dim), t->q, kRowStride);
  std::memcpy(t->few_rows, t->out, std::min(t->rows, kFewRows) * t->head_stride * sizeof(float));
  std::memset(t->out, 0, t->rows * t->head_stride * sizeof(float));
}

template <class E, class T>
void AttendTile(const RocitTreeAttentionArgs& args, int64_t key_head, int64_t tile, TileMemory* memory) {
  const RocitTreeAttentionInputs& in = args.in;
  const AttentionRows rows(in, key_head);
  const int64_t first = tile * kTileRows, D = in.head_dim;
  ForwardTile t;
  t.rows = std::min(kTileRows, rows.count - first);
  TakeTile(memory, D, &t);
  LoadRows<E, T>(in, rows, first, &t);
  const T *k = static_cast<const T*>(in.k), *v = static_cast<const T*>(in.v);
  VisibleKeys keys;
  for (int64_t at = 0;;) {
    CollectKeys(in.subtree_end, t.token[0], t.token[t.rows - 1], &at, &keys);
    if (keys.count == 0) break;
    for (int64_t j = 0; j < keys.count; j += 2) {
      const int64_t one = rows.KeyOffset(keys.key[j]), two = j + 1 < keys.count ? rows.KeyOffset(keys.key[j + 1]) : -1;
      E::CopyRow(k + one, D, t.k + j * t.head_stride);
      if (two >= 0) E::CopyRow(k + two, D, t.k + (j + 1) * t.head_stride);
      E::PackRows(v + one, two >= 0 ? v + two : nullptr, j, D, t.v, t.head_stride);
    }
    for (int64_t key = at; key < std::min(at + kTileKeys, in.num_keys); ++key) {
      Prefetch(k + rows.KeyOffset(key), D);
      Prefetch(v + rows.KeyOffset(key), D);
    }
    FindLanes(keys, &t);
    AddKeys<E>(&t, keys, in);
  }
  for (int64_t r = 0; r < t.rows; ++r) {
    const int64_t index = rows.Index(first + r);
    args.lse[index] = t.top[r] * kLn2 + std::log(t.sum[r]);
    const Floats factor = Broadcast(1.0f / t.sum[r]);
    T* to = static_cast<T*>(args.out) + index * D;
    for (int64_t d = 0; d < D; d += kLanes) StorePart(to, Load(t.out + r * t.head_stride + d) * factor, d, D);
  }
}

inline void AttendAnyTile(const RocitTreeAttentionArgs& args, int64_t key_head, int64_t tile, TileMemory* memory) {
  if (args.in.dtype == ROCIT_FLOAT32) {
    AttendTile<Widened<float>, float>(args, key_head, tile, memory);
  } else {
#if defined(ROCIT_AMX)
    TileRegisters registers;
    registers.Configure(32);
#endif
#if ROCIT_PAIRS
    AttendTile<Paired, Bfloat16>(args, key_head, tile, memory);
#else
    AttendTile<Widened<Bfloat16>, Bfloat16>(args, key_head, tile, memory);
#endif
  }
}
