// The register tile of all matrix products, for one vector path: kRows x kVecs vectors of float32 sums, to which the
// segments of a product are added one after the other before the tile is stored once. Each sum runs over the depth in
// order, so that no cut of the work changes a bit. Included after vector.h by the loops of an operation.

#if ROCIT_WIDTH == 16
inline constexpr int kTileRows = 14;
#elif ROCIT_WIDTH == 8
inline constexpr int kTileRows = 6;
#else
inline constexpr int kTileRows = 5;
#endif
inline constexpr int kTileVecs = 2;
inline constexpr int kPanel = kTileVecs * kWidth;  // columns of a packed panel
#if defined(ROCIT_PAIRS)
inline constexpr bool kHasPairs = true;
#else
inline constexpr bool kHasPairs = false;
#endif
#if defined(ROCIT_AMX)
inline constexpr bool kHasTiles = true;
#else
inline constexpr bool kHasTiles = false;
#endif

// Words of a packed column: pairs of bfloat16 or floats; on AMX whole tiles of pairs, or of the three parts of floats.
ROCIT_INLINE int64_t Units(int64_t depth, bool is_pairs) {
  if (kHasTiles) return (depth + 31) / 32 * 16 * (is_pairs ? 1 : 3);
  return is_pairs ? (depth + 1) / 2 : depth;
}

ROCIT_INLINE NativeFloat Splat(float value) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeFloat)_mm512_set1_ps(value);
#elif defined(__x86_64__) && ROCIT_WIDTH == 8
  return (NativeFloat)_mm256_set1_ps(value);
#else
  NativeFloat result;
  for (int i = 0; i < kWidth; ++i) result[i] = value;
  return result;
#endif
}

// a * b + c; with one rounding where the machine does that.
ROCIT_INLINE NativeFloat MulAdd(NativeFloat a, NativeFloat b, NativeFloat c) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeFloat)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__x86_64__) && ROCIT_WIDTH == 8
  return (NativeFloat)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

ROCIT_INLINE NativeFloat LoadWide(const float* from) { return LoadNative<NativeFloat>(from); }
ROCIT_INLINE NativeFloat LoadWide(const Bfloat16* from) { return Widen(Bfloat16{}, LoadNative<NativeShort>(from)); }

// The first `count` lanes, the others zero.
template <class T>
ROCIT_INLINE NativeFloat LoadWideSome(const T* from, int64_t count) {
  if (count >= kWidth) return LoadWide(from);
  T lanes[kWidth] = {};
  if (count > 0) __builtin_memcpy(lanes, from, count * sizeof(T));
  return LoadWide(lanes);
}

ROCIT_INLINE void StoreNarrow(float* to, NativeFloat value) { __builtin_memcpy(to, &value, sizeof(value)); }
ROCIT_INLINE void StoreNarrow(Bfloat16* to, NativeFloat value) {
#if defined(ROCIT_PAIRS)
  const __m256bh bits = _mm512_cvtneps_pbh((__m512)value);  // as Narrow but for subnormals, which this path makes zero
#else
  const NativeShort bits = Narrow(value);
#endif
  __builtin_memcpy(to, &bits, sizeof(bits));
}

template <class T>
ROCIT_INLINE void StoreNarrowSome(T* to, NativeFloat value, int64_t count) {
  if (count >= kWidth) return StoreNarrow(to, value);
  T lanes[kWidth];
  StoreNarrow(lanes, value);
  if (count > 0) __builtin_memcpy(to, lanes, count * sizeof(T));
}

template <int kRows, int kVecs>
struct Tile {
  NativeFloat sum[kRows][kVecs];
};

// Rows of a at one column, five rows a pointer, so that fourteen of them need few registers.
template <class Word>
struct RowWalk {
  const char *p0, *p5, *p10;
  int64_t stride, stride3;
  ROCIT_INLINE RowWalk(const void* a, int64_t row_bytes)
      : p0((const char*)a), stride(row_bytes), stride3(3 * row_bytes) {
    p5 = p0 + 5 * stride;
    p10 = p5 + 5 * stride;
#if defined(__x86_64__)
    __asm__("" : "+r"(p0), "+r"(p5), "+r"(p10), "+r"(stride3));  // keeps the compiler from one pointer a row
#endif
  }
  ROCIT_INLINE Word At(int row) const {
    const char* p = row < 5 ? p0 : row < 10 ? p5 : p10;
    const int step = row % 5;
    Word value;
    __builtin_memcpy(&value, p + (step == 3 ? stride3 : step * stride), sizeof(Word));
    return value;
  }
  ROCIT_INLINE void Advance() {
    p0 += sizeof(Word);
    p5 += sizeof(Word);
    p10 += sizeof(Word);
  }
};

#define ROCIT_EACH_ROW _Pragma("GCC unroll 16") for (int r = 0; r < kRows; ++r)
#define ROCIT_EACH_VEC _Pragma("GCC unroll 2") for (int v = 0; v < kVecs; ++v)

template <int kRows, int kVecs>
ROCIT_INLINE void Clear(Tile<kRows, kVecs>* tile) {
  ROCIT_EACH_ROW ROCIT_EACH_VEC tile->sum[r][v] = NativeFloat{};
}

// The sums of before.
template <int kRows, int kVecs>
ROCIT_INLINE void LoadTile(Tile<kRows, kVecs>* tile, const float* from, int64_t stride) {
  ROCIT_EACH_ROW ROCIT_EACH_VEC tile->sum[r][v] = LoadWide(from + r * stride + v * kWidth);
}

// a[r][k] at a + r * row_stride + k; b: a packed panel, [depth][columns].
template <int kRows, int kVecs>
ROCIT_INLINE void AddFloats(Tile<kRows, kVecs>* tile, const float* a, int64_t row_stride, const float* b, int64_t depth) {
  RowWalk<float> walk(a, row_stride * 4);
  for (int64_t k = 0; k < depth; ++k) {
    NativeFloat column[kVecs];
    ROCIT_EACH_VEC column[v] = LoadNative<NativeFloat>(b + v * kWidth);
    ROCIT_EACH_ROW {
      const NativeFloat factor = Splat(walk.At(r));
      ROCIT_EACH_VEC tile->sum[r][v] = MulAdd(factor, column[v], tile->sum[r][v]);
    }
    walk.Advance();
    b += kVecs * kWidth;
  }
}

#if defined(ROCIT_PAIRS)
template <int kVecs>
ROCIT_INLINE void AddPair(NativeFloat (&sum)[kVecs], uint32_t pair, const __m512i (&column)[kVecs]) {
  const __m512bh factor = (__m512bh)_mm512_set1_epi32((int)pair);
  ROCIT_EACH_VEC sum[v] = (NativeFloat)_mm512_dpbf16_ps((__m512)sum[v], factor, (__m512bh)column[v]);
}

// The same for bfloat16: two neighbours of the depth at a time; b: [depth / 2][columns] pairs, an odd end beside zeros.
template <int kRows, int kVecs>
ROCIT_INLINE void AddPairs(Tile<kRows, kVecs>* tile, const Bfloat16* a, int64_t row_stride, const uint32_t* b,
                           int64_t depth) {
  RowWalk<uint32_t> walk(a, row_stride * 2);
  for (int64_t k = 0; k + 2 <= depth; k += 2) {
    __m512i column[kVecs];
    ROCIT_EACH_VEC column[v] = _mm512_loadu_si512(b + v * kWidth);
    ROCIT_EACH_ROW AddPair(tile->sum[r], walk.At(r), column);
    walk.Advance();
    b += kVecs * kWidth;
  }
  if (depth % 2 == 0) return;
  __m512i column[kVecs];
  ROCIT_EACH_VEC column[v] = _mm512_loadu_si512(b + v * kWidth);
  ROCIT_EACH_ROW AddPair(tile->sum[r], a[r * row_stride + depth - 1].bits, column);
}
#endif

// a is column-major: a[r][k] at a + k * a_stride + r. b is used as it lies: b[k] at b + k * b_stride.
template <int kRows, int kVecs, class T>
ROCIT_INLINE void AddOuter(Tile<kRows, kVecs>* tile, const float* a, int64_t a_stride, const T* b, int64_t b_stride,
                           int64_t depth) {
  for (int64_t k = 0; k < depth; ++k) {
    NativeFloat column[kVecs];
    ROCIT_EACH_VEC column[v] = LoadWide(b + v * kWidth);
    ROCIT_EACH_ROW {
      const NativeFloat factor = Splat(a[r]);
      ROCIT_EACH_VEC tile->sum[r][v] = MulAdd(factor, column[v], tile->sum[r][v]);
    }
    a += a_stride;
    b += b_stride;
  }
}

// Where a tile goes: the first `columns` columns of each row.
struct TileTarget {
  void* c;
  int64_t stride, columns;
  RocitDtype dtype;
  const float* bias;  // as wide as the tile, or null
  float beta;
};

template <class T, int kRows, int kVecs>
ROCIT_INLINE void StoreTileAs(const Tile<kRows, kVecs>& tile, const TileTarget& to) {
  NativeFloat bias[kVecs] = {};
  if (to.bias != nullptr) ROCIT_EACH_VEC bias[v] = LoadWide(to.bias + v * kWidth);
  ROCIT_EACH_ROW {
    T* row = static_cast<T*>(to.c) + r * to.stride;
    ROCIT_EACH_VEC {
      const int64_t count = to.columns - v * kWidth;
      NativeFloat value = tile.sum[r][v];
      if (to.bias != nullptr) value = value + bias[v];
      if (to.beta != 0) value = value + Splat(to.beta) * LoadWideSome(row + v * kWidth, count);
      StoreNarrowSome(row + v * kWidth, value, count);
    }
  }
}

template <int kRows, int kVecs>
ROCIT_INLINE void StoreTile(const Tile<kRows, kVecs>& tile, const TileTarget& to) {
  if (to.dtype == ROCIT_FLOAT32) StoreTileAs<float>(tile, to);
  else StoreTileAs<Bfloat16>(tile, to);
}

#undef ROCIT_EACH_ROW
#undef ROCIT_EACH_VEC
