// The loops of float_parts for one vector path.

#include "gemm_tile.h"
#include "gemm_panels.h"
#include "gemm_pack.h"

struct Parts {
  NativeShort part[3];
};

// The first part is cut off, so that the largest numbers stay finite.
ROCIT_INLINE Parts Split(NativeFloat value) {
  Parts parts;
  for (int i = 0; i < 3; ++i) {
    parts.part[i] = i == 0 ? Truncate((NativeBits)value >> 16) : Narrow(value);
    value = value - Widen(Bfloat16{}, parts.part[i]);
  }
  return parts;
}

ROCIT_INLINE void StoreShorts(Bfloat16* to, NativeShort bits, int64_t count) {
  if (count >= kWidth) __builtin_memcpy((void*)to, &bits, sizeof(bits));
  else __builtin_memcpy((void*)to, &bits, count * sizeof(Bfloat16));
}

inline void SplitSomeRows(const SplitSource& source, const SplitTarget& target, int64_t begin, int64_t end) {
  const NativeFloat scale = Splat(source.scale);
  for (int64_t row = begin; row < end; ++row) {
    const float* from = source.from + row * source.stride;
    for (int64_t c = 0; c < source.columns; c += kWidth) {
      const int64_t left = source.columns - c;
      const Parts parts = Split(LoadWideSome(from + c, left) * scale);
      for (int i = 0; i < 3; ++i) {
        StoreShorts(target.to[i] + row * target.stride + c, parts.part[target.part[i]], left);
      }
    }
  }
}

// Rows [begin, end) of the source, columns of the target.
inline void SplitTransposedRows(const SplitSource& source, int64_t begin, int64_t end, Bfloat16* to, int64_t stride) {
  const NativeFloat scale = Splat(source.scale);
  for (int64_t row = begin; row < end; row += kWidth) {
    for (int64_t c = 0; c < source.columns; c += kWidth) {
      NativeBits block[kWidth];
      for (int64_t i = 0; i < kWidth; ++i) {
        block[i] = row + i < end ? (NativeBits)LoadWideSome(source.from + (row + i) * source.stride + c, source.columns - c)
                                 : NativeBits{};
      }
      Transpose(block);
      for (int64_t j = 0; j < kWidth && c + j < source.columns; ++j) {
        const Parts parts = Split((NativeFloat)block[j] * scale);
        for (int i = 0; i < 3; ++i) {
          StoreShorts(to + (i * source.columns + c + j) * stride + row, parts.part[i], end - row);
        }
      }
    }
  }
}
