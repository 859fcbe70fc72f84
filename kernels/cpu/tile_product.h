// Products of matrices that lie in the cache, for one vector path: c (+)= a b with sums in registers over the whole depth.
// Everything is counted in words of 32 bits: a word is one float (Singles), or two bfloat16 that follow each other in
// depth (Pairs, where ROCIT_PAIRS is 1), so that both have the same loops. Each sum runs through the depth in order:
// the cut into blocks changes no bit. Included after vector.h by the loops of an operation.

struct TileProduct {
  int64_t rows, columns, depth;  // columns: a multiple of kLanes, memory up to there is c's and b's
  const float* a;
  int64_t a_stride;
  const float* b;  // [depth, columns]
  int64_t b_stride;
  float* c;  // [rows, columns]
  int64_t c_stride;
  bool adds;  // c += instead of c =
};

// The neighbours in memory of a word of `a`.
enum class Neighbours { kDepth, kRows };  // a[row * a_stride + depth], a[depth * a_stride + row]

struct SingleWords {
  static ROCIT_INLINE NativeFloat Splat(const float* from) { return BroadcastNative(*from); }
  static ROCIT_INLINE NativeFloat Add(NativeFloat a, NativeFloat b, NativeFloat c) { return MultiplyAdd(a, b, c); }
};

#if ROCIT_PAIRS
struct PairWords {
  static ROCIT_INLINE NativeFloat Splat(const float* from) {
    return (NativeFloat)_mm512_set1_epi32(LoadNative<int32_t>(from));
  }
  static ROCIT_INLINE NativeFloat Add(NativeFloat a, NativeFloat b, NativeFloat c) {
    return (NativeFloat)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
  }
};
#endif

// Sums that fill the registers, with room for a row of b and a word of a.
#if ROCIT_WIDTH == 16
inline constexpr int kBlockRows = 6, kBlockVectors = 4;
#elif ROCIT_WIDTH == 8
inline constexpr int kBlockRows = 6, kBlockVectors = 2;
#else
inline constexpr int kBlockRows = 4, kBlockVectors = 2;
#endif

#define ROCIT_EACH(name, count) _Pragma("GCC unroll 8") for (int name = 0; name < (count); ++name)

template <class Word, Neighbours kNeighbours, int kRows, int kVectors>
void MultiplyBlock(const TileProduct& p, int64_t row, int64_t column) {
  const bool is_row_major = kNeighbours == Neighbours::kDepth;
  const float* a = p.a + (is_row_major ? row * p.a_stride : row);
  const float* b = p.b + column;
  float* c = p.c + row * p.c_stride + column;
  const int64_t row_step = is_row_major ? p.a_stride : 1, depth_step = is_row_major ? 1 : p.a_stride;
  NativeFloat sum[kRows][kVectors];
  ROCIT_EACH(r, kRows) ROCIT_EACH(v, kVectors) {
    sum[r][v] = p.adds ? LoadNative<NativeFloat>(c + r * p.c_stride + v * kWidth) : NativeFloat{};
  }
  for (int64_t k = 0; k < p.depth; ++k) {
    NativeFloat from_b[kVectors];
    ROCIT_EACH(v, kVectors) from_b[v] = LoadNative<NativeFloat>(b + v * kWidth);
    ROCIT_EACH(r, kRows) {
      const NativeFloat from_a = Word::Splat(a + r * row_step);
      ROCIT_EACH(v, kVectors) sum[r][v] = Word::Add(from_a, from_b[v], sum[r][v]);
    }
    a += depth_step;
    b += p.b_stride;
  }
  ROCIT_EACH(r, kRows) ROCIT_EACH(v, kVectors) {
    __builtin_memcpy(c + r * p.c_stride + v * kWidth, &sum[r][v], sizeof(NativeFloat));
  }
}

template <class Word, Neighbours kNeighbours, int kVectors>
void MultiplyColumns(const TileProduct& p, int64_t column) {
  int64_t row = 0;
  for (; row + kBlockRows <= p.rows; row += kBlockRows) {
    MultiplyBlock<Word, kNeighbours, kBlockRows, kVectors>(p, row, column);
  }
  if (kBlockRows > 4 && row + 4 <= p.rows) {
    MultiplyBlock<Word, kNeighbours, 4, kVectors>(p, row, column);
    row += 4;
  }
  if (row + 2 <= p.rows) {
    MultiplyBlock<Word, kNeighbours, 2, kVectors>(p, row, column);
    row += 2;
  }
  if (row < p.rows) MultiplyBlock<Word, kNeighbours, 1, kVectors>(p, row, column);
}

template <class Word, Neighbours kNeighbours>
void MultiplyInRegisters(const TileProduct& p) {
  const int64_t vectors = p.columns / kWidth;
  int64_t v = 0;
  for (; v + kBlockVectors <= vectors; v += kBlockVectors) {
    MultiplyColumns<Word, kNeighbours, kBlockVectors>(p, v * kWidth);
  }
  if constexpr (kBlockVectors > 2) {
    if (vectors - v == 3) MultiplyColumns<Word, kNeighbours, 3>(p, v * kWidth);
    if (vectors - v == 2) MultiplyColumns<Word, kNeighbours, 2>(p, v * kWidth);
    if (vectors - v == 1) MultiplyColumns<Word, kNeighbours, 1>(p, v * kWidth);
  }
}
