// What the kernels need of the device, for nvcc and for the emulator (ROCIT_CUDA_EMULATION): this file and mma.h alone
// know which of them compiles. Names of CUDA mean the same in both; shared memory and launches go through what is here.
#ifndef ROCIT_CUDA_DEVICE_H_
#define ROCIT_CUDA_DEVICE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

#include "contract.h"

#if ROCIT_CUDA_EMULATION
#include "emulation/cuda.h"
// ROCIT_SHARED T name[n]; in a kernel. Blocks run one after the other, so one copy is enough.
#define ROCIT_SHARED alignas(16) static
#else
#include <cuda_runtime.h>
#define ROCIT_SHARED __align__(16) __shared__
#endif

namespace rocit {

inline constexpr unsigned kAllLanes = 0xffffffffu;
inline constexpr int kWarpSize = 32;

// What is more must be asked for, a kernel at a time; Launch does.
inline constexpr size_t kPlainSharedBytes = 48 * 1024;

// The block's dynamic shared memory, on a multiple of 16 bytes.
template <class T>
__device__ __forceinline__ T* DynamicShared() {
#if ROCIT_CUDA_EMULATION
  return static_cast<T*>(emulation::DynamicSharedBytes());
#else
  extern __shared__ __align__(16) unsigned char rocit_dynamic_shared[];
  return reinterpret_cast<T*>(rocit_dynamic_shared);
#endif
}

namespace launching {

#if ROCIT_CUDA_EMULATION
template <class... P>
struct Call {
  void (*kernel)(P...);
  std::tuple<P...> args;
};

template <class... P, size_t... I>
int Run(const Call<P...>& call, dim3 grid, dim3 block, size_t shared_bytes, void*, std::index_sequence<I...>) {
  const auto body = [](const void* context) {
    const Call<P...>& own = *static_cast<const Call<P...>*>(context);
    own.kernel(std::get<I>(own.args)...);
  };
  return emulation::RunGrid({grid, block, shared_bytes, body, &call});
}
#else
template <class... P>
struct Call {
  void (*kernel)(P...);
  std::tuple<P...> args;
};

template <class... P, size_t... I>
int Run(Call<P...>& call, dim3 grid, dim3 block, size_t shared_bytes, void* stream, std::index_sequence<I...>) {
  const void* kernel = reinterpret_cast<const void*>(call.kernel);
  if (shared_bytes > kPlainSharedBytes) {
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return static_cast<int>(error);
  }
  void* args[sizeof...(P) + 1] = {static_cast<void*>(&std::get<I>(call.args))..., nullptr};
  return static_cast<int>(
      cudaLaunchKernel(kernel, grid, block, args, shared_bytes, static_cast<cudaStream_t>(stream)));
}
#endif

}  // namespace launching

// Puts a kernel on the stream. A grid without blocks is no launch. At most 4 KiB of arguments.
template <class... P, class... A>
RocitCudaStatus Launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, void* stream, A... args) {
  static_assert(sizeof...(P) == sizeof...(A), "an argument for each parameter");
  static_assert(sizeof(std::tuple<P...>) <= 4096, "kernels take 4 KiB of arguments");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return 0;
  launching::Call<P...> call = {kernel, std::tuple<P...>(static_cast<P>(args)...)};
  return launching::Run(call, grid, block, shared_bytes, stream, std::index_sequence_for<P...>());
}

// Blocks for `items`; where they are more than a grid can have, a number that the launch refuses.
inline unsigned NumBlocks(int64_t items, int64_t items_per_block) {
  const int64_t blocks = (items + items_per_block - 1) / items_per_block;
  return blocks <= 0x7fffffff ? static_cast<unsigned>(blocks) : 0xffffffffu;
}

// Elements.

struct Bf16 {
  uint16_t bits;
};

__device__ __forceinline__ float ToFloat(float x) { return x; }
__device__ __forceinline__ float ToFloat(Bf16 x) { return __uint_as_float(static_cast<uint32_t>(x.bits) << 16); }

// Two bfloat16, rounded to nearest even, `lo` in the lower half.
__device__ __forceinline__ uint32_t Pack2(float lo, float hi) {
#if ROCIT_CUDA_EMULATION
  const auto round = [](float x) -> uint32_t {
    const uint32_t bits = __float_as_uint(x);
    return x != x ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
  };
  return round(lo) | round(hi) << 16;
#else
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(hi), "f"(lo));
  return packed;
#endif
}

template <class T>
__device__ T FromFloat(float x);
template <>
__device__ __forceinline__ float FromFloat<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ Bf16 FromFloat<Bf16>(float x) {
  return {static_cast<uint16_t>(Pack2(x, 0.0f) & 0xffffu)};
}

#if !ROCIT_CUDA_EMULATION
namespace raw {

template <int kBytes>
struct Word;

template <>
struct Word<2> {
  typedef uint16_t Type;
  static __device__ __forceinline__ void Store(void* to, Type x) { *static_cast<Type*>(to) = x; }
};

template <>
struct Word<4> {
  typedef uint32_t Type;
  static __device__ __forceinline__ void Store(void* to, Type x) { *static_cast<Type*>(to) = x; }
};

// Stores as one instruction: left to itself the compiler takes some of them apart.
template <>
struct Word<8> {
  typedef uint2 Type;
  static __device__ __forceinline__ void Store(void* to, Type x) {
    asm volatile("st.v2.b32 [%0], {%1, %2};" ::"l"(to), "r"(x.x), "r"(x.y) : "memory");
  }
};

template <>
struct Word<16> {
  typedef uint4 Type;
  static __device__ __forceinline__ void Store(void* to, Type x) {
    asm volatile("st.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(x.x), "r"(x.y), "r"(x.z), "r"(x.w) : "memory");
  }
};

}  // namespace raw
#endif

// kCount neighbours, loaded and stored at once: at most 16 bytes, on a multiple of their size.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Vec {
  T at[kCount];

#if ROCIT_CUDA_EMULATION
  static Vec Load(const T* from) {
    Check(from);
    return *reinterpret_cast<const Vec*>(from);
  }
  void Store(T* to) const {
    Check(to);
    *reinterpret_cast<Vec*>(to) = *this;
  }

 private:
  static void Check(const T* at) {
    if (reinterpret_cast<uintptr_t>(at) % sizeof(Vec) != 0) {
      emulation::Die({"Vec", __builtin_FILE(), __builtin_LINE()}, "a vector that is not on a multiple of its size");
    }
  }
#else
  typedef raw::Word<sizeof(T) * kCount> Word;
  static __device__ __forceinline__ Vec Load(const T* from) {
    const typename Word::Type raw = *reinterpret_cast<const typename Word::Type*>(from);
    Vec own;
    memcpy(&own, &raw, sizeof(own));
    return own;
  }
  __device__ __forceinline__ void Store(T* to) const {
    typename Word::Type raw;
    memcpy(&raw, this, sizeof(raw));
    Word::Store(to, raw);
  }
#endif
};

template <class T, int kCount>
__device__ __forceinline__ void ToFloats(const Vec<T, kCount>& from, float (&to)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) to[i] = ToFloat(from.at[i]);
}

// The nearest values of type T, in pairs where it has pairs.
template <class T, int kCount>
__device__ __forceinline__ Vec<T, kCount> Rounded(const float (&x)[kCount]) {
  Vec<T, kCount> rounded;
  if constexpr (sizeof(T) == 2 && kCount % 2 == 0) {
    uint32_t pairs[kCount / 2];
#pragma unroll
    for (int i = 0; i < kCount / 2; ++i) pairs[i] = Pack2(x[2 * i], x[2 * i + 1]);
    memcpy(&rounded, pairs, sizeof(rounded));
  } else {
#pragma unroll
    for (int i = 0; i < kCount; ++i) rounded.at[i] = FromFloat<T>(x[i]);
  }
  return rounded;
}

// Elements of 16 bytes.
template <class T>
inline constexpr int kWidest = 16 / static_cast<int>(sizeof(T));

// Whether rows of `stride` elements from `pointer` on may be read 16 bytes at a time. Null may.
template <class T>
bool IsAligned16(const void* pointer, int64_t stride) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0 && stride * static_cast<int64_t>(sizeof(T)) % 16 == 0;
}

// 2^x to 2 units in the last place, in one instruction; results that would be subnormal are 0.
__device__ __forceinline__ float FastExp2(float x) {
#if ROCIT_CUDA_EMULATION
  return x < -126.0f ? 0.0f : exp2f(x);
#else
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
  return power;
#endif
}

// Sums. The order is fixed, and every lane or thread has the result.

__device__ __forceinline__ float WarpSum(float value) {
#pragma unroll
  for (int other = kWarpSize / 2; other > 0; other /= 2) value += __shfl_xor_sync(kAllLanes, value, other);
  return value;
}

__device__ __forceinline__ float WarpMax(float value) {
#pragma unroll
  for (int other = kWarpSize / 2; other > 0; other /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, other));
  return value;
}

// Over a block of whole warps in one dimension. All threads come; `shared` is free again on return.
__device__ __forceinline__ float BlockSum(float value, float* shared32) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int num_warps = static_cast<int>(blockDim.x) / kWarpSize;
  value = WarpSum(value);
  if (lane == 0) shared32[warp] = value;
  __syncthreads();
  value = WarpSum(lane < num_warps ? shared32[lane] : 0.0f);
  __syncthreads();
  return value;
}

}  // namespace rocit

#endif  // ROCIT_CUDA_DEVICE_H_
