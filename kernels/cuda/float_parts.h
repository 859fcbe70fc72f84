// float32 for tensor cores that multiply bfloat16: a number as the sum of three, which together have its 24 bits, so that
// products of parts are as good as float32. Of two numbers in parts the products up to 2^-16 of the largest are taken;
// what is left out is below 2^-23.
#ifndef ROCIT_CUDA_FLOAT_PARTS_H_
#define ROCIT_CUDA_FLOAT_PARTS_H_

#include "mma.h"

namespace rocit {

inline constexpr int kParts = 3;

// Parts of two neighbours, packed.
__device__ __forceinline__ void SplitPair(float lo, float hi, uint32_t (&parts)[kParts]) {
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    parts[p] = Pack2(lo, hi);
    lo -= __uint_as_float(parts[p] << 16);
    hi -= __uint_as_float(parts[p] & 0xffff0000u);
  }
}

// A fragment of 16 x 16 of the left side: bfloat16 as they are, or float32 in parts.
template <class T>
struct LeftFragment {
  static constexpr int kCount = sizeof(T) == 2 ? 1 : kParts;
  uint32_t part[kCount][4];
};

__device__ __forceinline__ void SplitInto(LeftFragment<float>* fragment, int i, float lo, float hi) {
  uint32_t parts[kParts];
  SplitPair(lo, hi, parts);
#pragma unroll
  for (int p = 0; p < kParts; ++p) fragment->part[p][i] = parts[p];
}

}  // namespace rocit

#endif  // ROCIT_CUDA_FLOAT_PARTS_H_
