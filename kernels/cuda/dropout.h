// Counter-based dropout on CUDA: the masks of the CPU kernels, by the same hash of (seed, row, column).
#ifndef ROCIT_CUDA_DROPOUT_H_
#define ROCIT_CUDA_DROPOUT_H_

#include <cmath>

#include "device.h"

namespace rocit {

struct Dropout {
  uint64_t seed;
  uint32_t threshold;  // 0: nothing is dropped
  float scale;         // of what is kept
};

inline Dropout MakeDropout(uint64_t seed, double probability) {
  return {seed, static_cast<uint32_t>(std::ceil(probability * 4294967296.0)), static_cast<float>(1 / (1 - probability))};
}

__device__ __forceinline__ uint32_t RowKey(uint64_t seed, int64_t row) {
  uint64_t z = seed + (static_cast<uint64_t>(row) + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
}

__device__ __forceinline__ bool IsKept(uint32_t row_key, int64_t column, uint32_t threshold) {
  uint32_t x = static_cast<uint32_t>(column) * 0x9e3779b1u ^ row_key;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return (x ^ (x >> 16)) >= threshold;
}

}  // namespace rocit

#endif  // ROCIT_CUDA_DROPOUT_H_
