// How the tiles of tree_attention are stored for their products, for one vector path. Widened: as float32, whatever the
// tensors hold. Paired: words of two bfloat16 that follow each other in depth, as they are. The same functions make both.

// Vectors of a row of `count` values.
ROCIT_INLINE int64_t Padded(int64_t count) { return RoundUp(count, kLanes); }

// Sixteen values from column `at` of a row of `count`, zeros beyond.
template <class T>
ROCIT_INLINE Floats LoadPart(const T* row, int64_t at, int64_t count) {
  return at + kLanes <= count ? Load(row + at) : LoadSome(row + at, count - at);
}

template <class T>
ROCIT_INLINE void StorePart(T* row, const Floats& value, int64_t at, int64_t count) {
  if (at + kLanes <= count) {
    Store(row + at, value);
  } else {
    StoreSome(row + at, value, count - at);
  }
}

// Asks for a row that is needed soon to come into the second-level cache.
template <class T>
ROCIT_INLINE void Prefetch(const T* row, int64_t count) {
  for (int64_t c = 0; c < count; c += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(row + c, 0, 2);
}

template <class T>
struct Widened {
  using Word = SingleWords;
  static constexpr int64_t kDepth = 1;  // values of depth in a word

  static int64_t Depth(int64_t count) { return count; }

  // A row as depth: [Depth(count)] words, as a left matrix has it.
  static ROCIT_INLINE void CopyRow(const T* from, int64_t count, float* to) {
    for (int64_t c = 0; c < count; c += kLanes) Store(to + c, LoadPart(from, c, count));
  }

  // Rows r and r + 1 of the depth, r even, as columns: [Padded(count)] words, as a right matrix has them. `b` may be null:
  // the depth ends with `a`.
  static ROCIT_INLINE void PackRows(const T* a, const T* b, int64_t r, int64_t count, float* to, int64_t stride) {
    CopyRow(a, count, to + r * stride);
    if (b != nullptr) CopyRow(b, count, to + (r + 1) * stride);
  }

  // The same of computed values, zeros for a second row behind the depth; and a row of them as depth.
  static ROCIT_INLINE void StoreRows(float* tile, int64_t r, int64_t stride, int64_t c, const Floats& a, const Floats& b) {
    Store(tile + r * stride + c, a);
    Store(tile + (r + 1) * stride + c, b);
  }
  static ROCIT_INLINE void StoreDepth(float* row, int64_t c, const Floats& value) { Store(row + c, value); }
};

#if ROCIT_PAIRS
struct Paired {
  using Word = PairWords;
  static constexpr int64_t kDepth = 2;

  static int64_t Depth(int64_t count) { return (count + 1) / 2; }

  static ROCIT_INLINE void CopyRow(const Bfloat16* from, int64_t count, float* to) {
    for (int64_t c = 0; c < count; c += kLanes) {
      const NativeShort halves = LoadHalves(from, c, count);
      __builtin_memcpy((Bfloat16*)to + c, &halves, sizeof(halves));
    }
  }

  static ROCIT_INLINE void PackRows(const Bfloat16* a, const Bfloat16* b, int64_t r, int64_t count, float* to,
                                    int64_t stride) {
    for (int64_t c = 0; c < count; c += kLanes) {
      NativeBits words = ZeroExtend(LoadHalves(a, c, count));
      if (b != nullptr) words |= ZeroExtend(LoadHalves(b, c, count)) << 16;
      __builtin_memcpy(to + r / 2 * stride + c, &words, sizeof(words));
    }
  }

  static ROCIT_INLINE void StoreRows(float* tile, int64_t r, int64_t stride, int64_t c, const Floats& a, const Floats& b) {
    const __m512i one_by_one = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                                21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)b.part[0], (__m512)a.part[0]);
    _mm512_storeu_si512(tile + r / 2 * stride + c, _mm512_maskz_permutexvar_epi16(~0u, one_by_one, halves));
  }
  static ROCIT_INLINE void StoreDepth(float* row, int64_t c, const Floats& value) {
    const NativeShort halves = (NativeShort)_mm512_cvtneps_pbh((__m512)value.part[0]);
    __builtin_memcpy((Bfloat16*)row + c, &halves, sizeof(halves));
  }

 private:
  static ROCIT_INLINE NativeShort LoadHalves(const Bfloat16* row, int64_t at, int64_t count) {
    if (at + kLanes <= count) return LoadNative<NativeShort>(row + at);
    Bfloat16 some[kLanes] = {};
    __builtin_memcpy(some, row + at, (count - at) * sizeof(Bfloat16));
    return LoadNative<NativeShort>(some);
  }
};
#endif

// Four words each of sixteen rows as four rows of sixteen.
ROCIT_INLINE void TransposeFour(const float* const* rows, float* to, int64_t to_stride) {
  typedef uint32_t Four __attribute__((vector_size(16)));
  for (int64_t i = 0; i < kLanes; i += 4) {
    const Four a = LoadNative<Four>(rows[i]), b = LoadNative<Four>(rows[i + 1]), c = LoadNative<Four>(rows[i + 2]),
               d = LoadNative<Four>(rows[i + 3]);
    const Four low = __builtin_shuffle(a, b, Four{0, 4, 1, 5}), high = __builtin_shuffle(a, b, Four{2, 6, 3, 7});
    const Four low2 = __builtin_shuffle(c, d, Four{0, 4, 1, 5}), high2 = __builtin_shuffle(c, d, Four{2, 6, 3, 7});
    const Four out[] = {__builtin_shuffle(low, low2, Four{0, 1, 4, 5}), __builtin_shuffle(low, low2, Four{2, 3, 6, 7}),
                        __builtin_shuffle(high, high2, Four{0, 1, 4, 5}),
                        __builtin_shuffle(high, high2, Four{2, 3, 6, 7})};
    for (int64_t n = 0; n < 4; ++n) __builtin_memcpy(to + n * to_stride + i, &out[n], sizeof(Four));
  }
}

// Rows of `depth` words as the columns of a right matrix [depth, columns]; columns behind the rows are zero. Sixteen rows
// of some depth at a time, so that whole cache lines are written.
inline void Transpose(const float* from, int64_t from_stride, int64_t rows, int64_t depth, float* to, int64_t to_stride) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    const float* row[kLanes];
    static const float none[4] = {};
    int64_t d = 0;
    for (; d + 4 <= depth; d += 4) {
      for (int64_t i = 0; i < kLanes; ++i) row[i] = r + i < rows ? from + (r + i) * from_stride + d : none;
      TransposeFour(row, to + d * to_stride + r, to_stride);
    }
    for (; d < depth; ++d) {
      for (int64_t i = 0; i < kLanes; ++i) {
        __builtin_memcpy(to + d * to_stride + r + i, r + i < rows ? from + (r + i) * from_stride + d : none, sizeof(float));
      }
    }
  }
}
