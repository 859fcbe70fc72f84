// The names of CUDA that the kernels use, as plain C++ for the emulator. Included by device.h alone.
#ifndef ROCIT_EMULATION_CUDA_H_
#define ROCIT_EMULATION_CUDA_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "block.h"
#include "races.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)

typedef rocit::emulation::Dim dim3;
typedef rocit::emulation::Index uint3;
struct alignas(8) float2 { float x, y; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

// The runtime.

typedef void* cudaStream_t;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidValue = 1 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  if (bytes > 0) std::memset(to, value, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "an error of the emulated device";
}
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
template <class F>
cudaError_t cudaFuncSetAttribute(F, cudaFuncAttribute, int bytes) {
  return static_cast<size_t>(bytes) <= rocit::emulation::kMostSharedBytes ? cudaSuccess : cudaErrorInvalidValue;
}

// Arithmetic. Macros where the C library has such a name of its own.

#define __expf(x) expf(x)
#define __fdividef(x, y) ((x) / (y))
#define __fmul_rn(x, y) ((x) * (y))
#define __fadd_rn(x, y) ((x) + (y))
#define rsqrtf(x) (1.0f / sqrtf(x))

template <class To, class From>
inline To RocitBitCast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bits of the same number");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}
inline unsigned __float_as_uint(float x) { return RocitBitCast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return RocitBitCast<float>(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
template <class T>
inline T min(T a, T b) { return b < a ? b : a; }
template <class T>
inline T max(T a, T b) { return a < b ? b : a; }

template <class T>
inline T atomicAdd(T* to, T value) {
  T before, after;
  __atomic_load(to, &before, __ATOMIC_RELAXED);
  do after = before + value;
  while (!__atomic_compare_exchange(to, &before, &after, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return before;
}

// Meetings of threads. The defaults are the place of the call.

#define ROCIT_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(ROCIT_HERE) { rocit::emulation::SyncThreads({"__syncthreads", file, line}); }

inline void __syncwarp(unsigned mask = 0xffffffffu, ROCIT_HERE) {
  rocit::emulation::SyncWarp({"__syncwarp", file, line}, mask);
}

namespace rocit {
namespace emulation {

struct ShuffleLane {
  uint64_t value;
  unsigned source;
};

ROCIT_UNSEEN inline void CompleteShuffle(void* const* lanes, uint32_t mask) {
  uint64_t values[32] = {};
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1) values[i] = static_cast<ShuffleLane*>(lanes[i])->value;
  }
  for (unsigned i = 0; i < 32; ++i) {
    if ((mask >> i & 1) == 0) continue;
    ShuffleLane* lane = static_cast<ShuffleLane*>(lanes[i]);
    if ((mask >> lane->source & 1) == 0) Die({"shuffle", "kernel", 0}, "a lane asks one that the mask lacks");
    lane->value = values[lane->source];
  }
}

template <class T>
T Shuffle(const Place& place, unsigned mask, T value, unsigned source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "as in CUDA");
  ShuffleLane own = {0, source};
  std::memcpy(&own.value, &value, sizeof(T));
  MeetWarp(place, mask, &own, &CompleteShuffle);
  std::memcpy(&value, &own.value, sizeof(T));
  return value;
}

struct VoteLane {
  bool holds;
  uint32_t votes;
};

ROCIT_UNSEEN inline void CompleteVote(void* const* lanes, uint32_t mask) {
  uint32_t votes = 0;
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1) votes |= static_cast<uint32_t>(static_cast<VoteLane*>(lanes[i])->holds) << i;
  }
  for (unsigned i = 0; i < 32; ++i) {
    if (mask >> i & 1) static_cast<VoteLane*>(lanes[i])->votes = votes;
  }
}

inline uint32_t Vote(const Place& place, unsigned mask, bool holds) {
  VoteLane own = {holds, 0};
  MeetWarp(place, mask, &own, &CompleteVote);
  return own.votes;
}

}  // namespace emulation
}  // namespace rocit

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, ROCIT_HERE) {
  const unsigned first = rocit::emulation::Lane() & ~(width - 1u);
  return rocit::emulation::Shuffle({"__shfl_sync", file, line}, mask, value, first + (source & (width - 1)));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int other, int width = 32, ROCIT_HERE) {
  const unsigned lane = rocit::emulation::Lane(), source = lane ^ other;
  const bool is_inside = source < (lane & ~(width - 1u)) + width;
  return rocit::emulation::Shuffle({"__shfl_xor_sync", file, line}, mask, value, is_inside ? source : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, ROCIT_HERE) {
  const unsigned lane = rocit::emulation::Lane();
  const bool is_inside = (lane & (width - 1u)) + delta < static_cast<unsigned>(width);
  return rocit::emulation::Shuffle({"__shfl_down_sync", file, line}, mask, value, is_inside ? lane + delta : lane);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, ROCIT_HERE) {
  const unsigned lane = rocit::emulation::Lane();
  const bool is_inside = (lane & (width - 1u)) >= delta;
  return rocit::emulation::Shuffle({"__shfl_up_sync", file, line}, mask, value, is_inside ? lane - delta : lane);
}
inline unsigned __ballot_sync(unsigned mask, int holds, ROCIT_HERE) {
  return rocit::emulation::Vote({"__ballot_sync", file, line}, mask, holds != 0);
}
inline int __any_sync(unsigned mask, int holds, ROCIT_HERE) {
  return rocit::emulation::Vote({"__any_sync", file, line}, mask, holds != 0) != 0;
}
inline int __all_sync(unsigned mask, int holds, ROCIT_HERE) {
  return rocit::emulation::Vote({"__all_sync", file, line}, mask, holds != 0) == mask;
}

#endif  // ROCIT_EMULATION_CUDA_H_
