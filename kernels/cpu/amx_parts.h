// float32 on the tile registers of AMX: each factor is the sum of three bfloat16, high + middle + low, exactly where none is
// subnormal; of the nine products six are taken, the others are below 2^-21 of |a| |b| together, 2^-25 on average. Infinity
// becomes NaN. Included by gemm_pack.h.
// Both sides lie in blocks of 32 of the depth with the three parts behind each other: a block of a is [32 rows][32], one of
// a panel of b [16 pairs][columns].

inline constexpr int64_t kPartOfA = 32 * 32;  // values

struct PartBits {
  NativeBits part[3];  // bfloat16 in the upper halves
};

// The first part is cut off, so that the largest numbers stay finite, the second rounded.
ROCIT_INLINE PartBits SplitBits(NativeFloat value) {
  PartBits bits;
  bits.part[0] = (NativeBits)value & 0xffff0000u;
  value = value - (NativeFloat)bits.part[0];
  bits.part[1] = ((NativeBits)value + 0x8000u) & 0xffff0000u;
  bits.part[2] = (NativeBits)(value - (NativeFloat)bits.part[1]);
  return bits;
}

// Sixteen of the even and sixteen of the odd places of the depth as pairs.
ROCIT_INLINE NativeBits Interleave(NativeBits even, NativeBits odd) { return (even >> 16) | (odd & 0xffff0000u); }

// 32 values of one row, in order.
ROCIT_INLINE void StoreRowParts(NativeFloat first, NativeFloat second, uint16_t* to) {
  const PartBits a = SplitBits(first), b = SplitBits(second);
  const __m512i upper_halves =
      _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27, 25, 23, 21, 19, 17, 15, 13,
                       11, 9, 7, 5, 3, 1);
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    _mm512_storeu_si512(to + i * kPartOfA, _mm512_permutex2var_epi16((__m512i)a.part[i], upper_halves, (__m512i)b.part[i]));
  }
}

// Rows [row, row + rows) of a, masked by dropout, as blocks.
template <class T>
ROCIT_INLINE void SplitPlainRows(const Segment& s, const T* from, int64_t row, int64_t rows, uint16_t* to) {
  for (int64_t r = 0; r < rows; ++r) {
    const uint32_t key = s.dropout != nullptr ? RowKey(s.dropout->seed, row + r) : 0;
    const T* at = from + r * s.a.stride;
    for (int64_t k = 0; k < s.depth; k += 32) {
      NativeFloat half[2];
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        half[h] = LoadWideSome(at + k + h * kWidth, s.depth - k - h * kWidth);
        if (s.dropout != nullptr) half[h] = half[h] * KeepFactors(*s.dropout, key, k + h * kWidth);
      }
      StoreRowParts(half[0], half[1], to + 3 * k * 32 + r * 32);
    }
  }
}

// The same where a is transposed in memory: sixteen rows by 32 of the depth at a time.
template <class T>
ROCIT_INLINE void SplitTransposedRows(const Segment& s, const T* from, int64_t rows, uint16_t* to) {
  for (int64_t r = 0; r < rows; r += kWidth) {
    for (int64_t k = 0; k < s.depth; k += 32) {
      NativeBits half[2][kWidth];
      for (int64_t i = 0; i < 32; ++i) {
        half[i / kWidth][i % kWidth] =
            k + i < s.depth ? (NativeBits)LoadWideSome(from + (k + i) * s.a.stride + r, rows - r) : NativeBits{};
      }
      Transpose(half[0]);
      Transpose(half[1]);
      for (int64_t i = 0; i < kWidth; ++i) {
        StoreRowParts((NativeFloat)half[0][i], (NativeFloat)half[1][i], to + 3 * k * 32 + (r + i) * 32);
      }
    }
  }
}

// 32 of the depth of one panel of b from [columns, depth] in memory.
template <class T>
ROCIT_INLINE void SplitTransposedBlock(const Segment& s, const T* from, int64_t k, int64_t count, int64_t width,
                                       uint32_t* to) {
  const NativeFloat scale = Splat(s.scale);
  for (int64_t j = 0; j < width; j += kWidth) {
    NativeBits pairs[3][kWidth];
    for (int64_t i = 0; i < kWidth; ++i) {
      NativeFloat half[2] = {};
      for (int64_t h = 0; h < 2 && j + i < count; ++h) {
        const int64_t at = k + h * kWidth;
        half[h] = LoadWideSome(from + (j + i) * s.b.stride + at, s.depth - at) * scale;
      }
      uint16_t row[2 * kPartOfA + 32];
      StoreRowParts(half[0], half[1], row);
      for (int p = 0; p < 3; ++p) pairs[p][i] = LoadNative<NativeBits>(row + p * kPartOfA);
    }
    for (int p = 0; p < 3; ++p) {
      Transpose(pairs[p]);
      for (int64_t i = 0; i < kWidth; ++i) {
        __builtin_memcpy(to + (p * kWidth + i) * width + j, &pairs[p][i], sizeof(NativeBits));
      }
    }
  }
}

// The same from [depth, columns] in memory.
template <class T>
ROCIT_INLINE void SplitPlainBlock(const Segment& s, const T* from, int64_t k, int64_t count, int64_t width, uint32_t* to) {
  const NativeFloat scale = Splat(s.scale);
  for (int64_t i = 0; i < kWidth; ++i) {
    const int64_t left = s.depth - k - 2 * i;
    for (int64_t j = 0; j < width; j += kWidth) {
      const T* at = from + (k + 2 * i) * s.b.stride + j;
      const NativeFloat even = left > 0 ? LoadWideSome(at, count - j) * scale : NativeFloat{};
      const NativeFloat odd = left > 1 ? LoadWideSome(at + s.b.stride, count - j) * scale : NativeFloat{};
      const PartBits a = SplitBits(even), b = SplitBits(odd);
#pragma GCC unroll 3
      for (int p = 0; p < 3; ++p) {
        const NativeBits pair = Interleave(a.part[p], b.part[p]);
        __builtin_memcpy(to + (p * kWidth + i) * width + j, &pair, sizeof(pair));
      }
    }
  }
}

// Columns [begin, begin + columns) of b as panels of blocks.
inline void PackParts(const Segment& s, int64_t begin, int64_t columns, uint32_t* to) {
  const int64_t units = Units(s.depth, false);
  for (int64_t j = 0; j < columns; j += kPanel) {
    const int64_t count = columns - j < kPanel ? columns - j : kPanel, width = count > kWidth ? kPanel : kWidth;
    const void* from = At(s.b.data, s.b.dtype, s.b.is_transposed ? (begin + j) * s.b.stride : begin + j);
    const float* floats = static_cast<const float*>(from);
    const Bfloat16* halves = static_cast<const Bfloat16*>(from);
    const bool is_float = s.b.dtype == ROCIT_FLOAT32;
    for (int64_t k = 0; k < s.depth; k += 32) {
      uint32_t* block = to + j * units + 3 * k / 2 * width;
      if (s.b.is_transposed && is_float) SplitTransposedBlock(s, floats, k, count, width, block);
      else if (s.b.is_transposed) SplitTransposedBlock(s, halves, k, count, width, block);
      else if (is_float) SplitPlainBlock(s, floats, k, count, width, block);
      else SplitPlainBlock(s, halves, k, count, width, block);
    }
  }
}

// Rows [row, row + rows) of a as blocks in `room`.
inline RowView ViewParts(const Segment& s, int64_t row, int64_t rows, const uint32_t* packed, void* room) {
  uint16_t* to = static_cast<uint16_t*>(room);
  const void* from = At(s.a.data, s.a.dtype, s.a.is_transposed ? row : row * s.a.stride);
  const float* floats = static_cast<const float*>(from);
  const Bfloat16* halves = static_cast<const Bfloat16*>(from);
  const bool is_float = s.a.dtype == ROCIT_FLOAT32;
  if (s.a.is_transposed && is_float) SplitTransposedRows(s, floats, rows, to);
  else if (s.a.is_transposed) SplitTransposedRows(s, halves, rows, to);
  else if (is_float) SplitPlainRows(s, floats, row, rows, to);
  else SplitPlainRows(s, halves, row, rows, to);
  return {room, 0, packed, s.depth, false, nullptr};
}
