// swiglu on CUDA, a piece of 16 bytes a thread where rows allow it. Bound by memory; for that, bfloat16 takes the fast
// exponential and division, whose error is far below one rounding of the result.
#include "swiglu.h"

#include "device.h"

namespace rocit {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostRowBlocks = 65535;

__device__ __forceinline__ float Sigmoid(const float*, float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ __forceinline__ float Sigmoid(const Bf16*, float x) { return __fdividef(1.0f, 1.0f + __expf(-x)); }

// Calls body(row, column) for this thread's piece of every row of the block.
template <int kVec, class Body>
__device__ __forceinline__ void EachRow(int64_t rows, int64_t size, const Body& body) {
  const int64_t c = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kVec;
  if (c >= size) return;
  for (int64_t n = blockIdx.y; n < rows; n += gridDim.y) body(n, c);
}

template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    SwigluKernel(int64_t rows, int64_t size, int64_t gate_stride, int64_t up_stride, int64_t y_stride,
                 const T* __restrict__ gate, const T* __restrict__ up, T* __restrict__ y) {
  using Piece = Vec<T, kVec>;
  EachRow<kVec>(rows, size, [&](int64_t n, int64_t c) {
    float g[kVec], u[kVec];
    const Piece gates = Piece::Load(gate + n * gate_stride + c), ups = Piece::Load(up + n * up_stride + c);
    ToFloats(gates, g);
    ToFloats(ups, u);
#pragma unroll
    for (int i = 0; i < kVec; ++i) g[i] = g[i] * Sigmoid(gate, g[i]) * u[i];
    Rounded<T>(g).Store(y + n * y_stride + c);
  });
}

template <class T, int kVec>
__global__ void __launch_bounds__(kThreads)
    SwigluGradKernel(int64_t rows, int64_t size, int64_t dy_stride, int64_t gate_stride, int64_t up_stride,
                     int64_t d_gate_stride, int64_t d_up_stride, const T* __restrict__ dy, const T* __restrict__ gate,
                     const T* __restrict__ up, T* __restrict__ d_gate, T* __restrict__ d_up) {
  using Piece = Vec<T, kVec>;
  EachRow<kVec>(rows, size, [&](int64_t n, int64_t c) {
    float d[kVec], g[kVec], u[kVec];
    const Piece dys = Piece::Load(dy + n * dy_stride + c), gates = Piece::Load(gate + n * gate_stride + c);
    const Piece ups = Piece::Load(up + n * up_stride + c);
    ToFloats(dys, d);
    ToFloats(gates, g);
    ToFloats(ups, u);
#pragma unroll
    for (int i = 0; i < kVec; ++i) {
      const float s = Sigmoid(gate, g[i]), silu = g[i] * s;
      g[i] = d[i] * u[i] * (s + silu * (1.0f - s));
      u[i] = d[i] * silu;
    }
    Rounded<T>(g).Store(d_gate + n * d_gate_stride + c);
    Rounded<T>(u).Store(d_up + n * d_up_stride + c);
  });
}

// Rows without gaps are one long row.
struct Shape {
  int64_t rows, size;

  Shape(int64_t num_rows, int64_t row_size, bool is_dense)
      : rows(is_dense && num_rows > 0 ? 1 : num_rows), size(is_dense ? num_rows * row_size : row_size) {}
  dim3 Grid(int vec) const {
    return dim3(NumBlocks(size, static_cast<int64_t>(kThreads) * vec),
                static_cast<unsigned>(rows < kMostRowBlocks ? rows : kMostRowBlocks));
  }
};

template <class T, int kVec>
RocitCudaStatus Forward(const RocitSwigluArgs& a, const Shape& shape, const RocitCuda& cuda) {
  return Launch(&SwigluKernel<T, kVec>, shape.Grid(kVec), dim3(kThreads), 0, cuda.stream, shape.rows, shape.size,
                a.gate_stride, a.up_stride, a.y_stride, static_cast<const T*>(a.gate), static_cast<const T*>(a.up),
                static_cast<T*>(a.y));
}

template <class T>
RocitCudaStatus ForwardOf(const RocitSwigluArgs& a, const RocitCuda& cuda) {
  const int64_t size = a.size;
  const bool is_dense = a.gate_stride == size && a.up_stride == size && a.y_stride == size;
  const Shape shape(a.num_rows, size, is_dense);
  const auto is_aligned = [&](const void* pointer, int64_t stride) {
    return IsAligned16<T>(pointer, shape.rows > 1 ? stride : 0);
  };
  const bool is_wide = shape.size % kWidest<T> == 0 && is_aligned(a.gate, a.gate_stride) &&
                       is_aligned(a.up, a.up_stride) && is_aligned(a.y, a.y_stride);
  return is_wide ? Forward<T, kWidest<T>>(a, shape, cuda) : Forward<T, 1>(a, shape, cuda);
}

template <class T, int kVec>
RocitCudaStatus Backward(const RocitSwigluGradArgs& a, const Shape& shape, const RocitCuda& cuda) {
  return Launch(&SwigluGradKernel<T, kVec>, shape.Grid(kVec), dim3(kThreads), 0, cuda.stream, shape.rows, shape.size,
                a.dy_stride, a.gate_stride, a.up_stride, a.d_gate_stride, a.d_up_stride, static_cast<const T*>(a.dy),
                static_cast<const T*>(a.gate), static_cast<const T*>(a.up), static_cast<T*>(a.d_gate),
                static_cast<T*>(a.d_up));
}

template <class T>
RocitCudaStatus BackwardOf(const RocitSwigluGradArgs& a, const RocitCuda& cuda) {
  const int64_t size = a.size;
  const bool is_dense = a.dy_stride == size && a.gate_stride == size && a.up_stride == size && a.d_gate_stride == size &&
                        a.d_up_stride == size;
  const Shape shape(a.num_rows, size, is_dense);
  const auto is_aligned = [&](const void* pointer, int64_t stride) {
    return IsAligned16<T>(pointer, shape.rows > 1 ? stride : 0);
  };
  const bool is_wide = shape.size % kWidest<T> == 0 && is_aligned(a.dy, a.dy_stride) &&
                       is_aligned(a.gate, a.gate_stride) && is_aligned(a.up, a.up_stride) &&
                       is_aligned(a.d_gate, a.d_gate_stride) && is_aligned(a.d_up, a.d_up_stride);
  return is_wide ? Backward<T, kWidest<T>>(a, shape, cuda) : Backward<T, 1>(a, shape, cuda);
}

}  // namespace
}  // namespace rocit

RocitCudaStatus rocit_swiglu_cuda(const RocitSwigluArgs* args, const RocitCuda* cuda) {
  return args->dtype == ROCIT_BFLOAT16 ? rocit::ForwardOf<rocit::Bf16>(*args, *cuda) : rocit::ForwardOf<float>(*args, *cuda);
}

RocitCudaStatus rocit_swiglu_grad_cuda(const RocitSwigluGradArgs* args, const RocitCuda* cuda) {
  return args->dtype == ROCIT_BFLOAT16 ? rocit::BackwardOf<rocit::Bf16>(*args, *cuda)
                                       : rocit::BackwardOf<float>(*args, *cuda);
}
