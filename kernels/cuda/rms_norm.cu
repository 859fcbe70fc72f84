// rms_norm on CUDA. Bound by memory: a row is read once and kept in registers between its sum and its result, 16 bytes
// a load where rows allow it. Short rows belong to a warp, longer ones to a block; what does not fit is read again.
#include "rms_norm.h"

#include "device.h"

namespace rocit {
namespace {

constexpr int kKept = 4;  // pieces of a row that a thread keeps
constexpr int kRowsPerBlock = 4;
constexpr int kMostThreads = 512;

// The columns that a thread of a row works on: kKept pieces first, unrolled, then others.
template <int kVec, class Body>
__device__ __forceinline__ void EachKept(int64_t columns, const Body& body) {
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int64_t c = (static_cast<int64_t>(k) * blockDim.x + threadIdx.x) * kVec;
    if (c < columns) body(k, c);
  }
}

template <int kVec, class Body>
__device__ __forceinline__ void EachOther(int64_t columns, const Body& body) {
  const int64_t step = static_cast<int64_t>(blockDim.x) * kVec;
  for (int64_t c = kKept * step + static_cast<int64_t>(threadIdx.x) * kVec; c < columns; c += step) body(c);
}

template <bool kWarpPerRow>
__device__ __forceinline__ float RowSum(float value, float* shared32) {
  return kWarpPerRow ? WarpSum(value) : BlockSum(value, shared32);
}

template <class T, int kVec>
__device__ __forceinline__ Vec<T, kVec> Sum(const Vec<T, kVec>& a, const Vec<T, kVec>& b) {
  float sum[kVec];
#pragma unroll
  for (int i = 0; i < kVec; ++i) sum[i] = ToFloat(a.at[i]) + ToFloat(b.at[i]);
  return Rounded<T>(sum);
}

template <class T, int kVec>
__device__ __forceinline__ float Squares(const Vec<T, kVec>& a) {
  float squares = 0;
#pragma unroll
  for (int i = 0; i < kVec; ++i) squares += ToFloat(a.at[i]) * ToFloat(a.at[i]);
  return squares;
}

template <class T, int kVec>
__device__ __forceinline__ void Scale(const Vec<T, kVec>& sum, float rstd, const T* weight, T* y) {
  const auto w = Vec<T, kVec>::Load(weight);
  float result[kVec];
#pragma unroll
  for (int i = 0; i < kVec; ++i) result[i] = ToFloat(sum.at[i]) * rstd * ToFloat(w.at[i]);
  Rounded<T>(result).Store(y);
}

template <class T, int kVec, bool kHasResidual, bool kWarpPerRow>
__global__ void __launch_bounds__(kMostThreads)
    RmsNormKernel(int64_t rows, int64_t columns, float eps, const T* __restrict__ x, const T* __restrict__ residual,
                  const T* __restrict__ weight, T* __restrict__ y, T* sum, float* __restrict__ rstds) {
  ROCIT_SHARED float shared[kWarpSize];
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (kWarpPerRow && row >= rows) return;  // a whole warp
  const int64_t start = row * columns;
  using Piece = Vec<T, kVec>;
  Piece kept[kKept], added[kHasResidual ? kKept : 1];
  EachKept<kVec>(columns, [&](int k, int64_t c) {
    kept[k] = Piece::Load(x + start + c);
    if constexpr (kHasResidual) added[k] = Piece::Load(residual + start + c);
  });
  float squares = 0;
  EachKept<kVec>(columns, [&](int k, int64_t c) {
    if constexpr (kHasResidual) {
      kept[k] = Sum(kept[k], added[k]);
      kept[k].Store(sum + start + c);
    }
    squares += Squares(kept[k]);
  });
  EachOther<kVec>(columns, [&](int64_t c) {
    Piece own = Piece::Load(x + start + c);
    if constexpr (kHasResidual) {
      own = Sum(own, Piece::Load(residual + start + c));
      own.Store(sum + start + c);
    }
    squares += Squares(own);
  });
  const float mean = columns > 0 ? RowSum<kWarpPerRow>(squares, shared) / static_cast<float>(columns) : 0.0f;
  const float rstd = 1.0f / sqrtf(mean + eps);
  if (threadIdx.x == 0) rstds[row] = rstd;
  const T* again = kHasResidual ? sum : x;  // a thread reads what it wrote itself
  EachKept<kVec>(columns, [&](int k, int64_t c) { Scale(kept[k], rstd, weight + c, y + start + c); });
  EachOther<kVec>(columns, [&](int64_t c) { Scale(Piece::Load(again + start + c), rstd, weight + c, y + start + c); });
}

template <class T, int kVec>
__device__ __forceinline__ float WeightedProduct(const Vec<T, kVec>& dy, const Vec<T, kVec>& sum, const T* weight) {
  const auto w = Vec<T, kVec>::Load(weight);
  float product = 0;
#pragma unroll
  for (int i = 0; i < kVec; ++i) product += ToFloat(w.at[i]) * ToFloat(dy.at[i]) * ToFloat(sum.at[i]);
  return product;
}

template <bool kHasDsum, class T, int kVec>
__device__ __forceinline__ void InputGradient(const Vec<T, kVec>& dy, const Vec<T, kVec>& sum, const T* weight,
                                              const T* dsum, float rstd, float pull, T* dx) {
  const auto w = Vec<T, kVec>::Load(weight);
  float result[kVec];
#pragma unroll
  for (int i = 0; i < kVec; ++i) result[i] = ToFloat(w.at[i]) * ToFloat(dy.at[i]) * rstd - ToFloat(sum.at[i]) * pull;
  if constexpr (kHasDsum) {
    const auto d = Vec<T, kVec>::Load(dsum);
#pragma unroll
    for (int i = 0; i < kVec; ++i) result[i] += ToFloat(d.at[i]);
  }
  Rounded<T>(result).Store(dx);
}

template <class T, int kVec, bool kHasDsum, bool kWarpPerRow>
__global__ void __launch_bounds__(kMostThreads)
    RmsNormGradKernel(int64_t rows, int64_t columns, const T* __restrict__ dy, const T* __restrict__ dsum,
                      const T* __restrict__ sum, const T* __restrict__ weight, const float* __restrict__ rstds,
                      T* __restrict__ dx) {
  ROCIT_SHARED float shared[kWarpSize];
  const int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (kWarpPerRow && row >= rows) return;  // a whole warp
  const int64_t start = row * columns;
  using Piece = Vec<T, kVec>;
  Piece kept_dy[kKept], kept_sum[kKept];
  float product = 0;
  EachKept<kVec>(columns, [&](int k, int64_t c) {
    kept_dy[k] = Piece::Load(dy + start + c);
    kept_sum[k] = Piece::Load(sum + start + c);
  });
  EachKept<kVec>(columns, [&](int k, int64_t c) { product += WeightedProduct(kept_dy[k], kept_sum[k], weight + c); });
  EachOther<kVec>(columns, [&](int64_t c) {
    product += WeightedProduct(Piece::Load(dy + start + c), Piece::Load(sum + start + c), weight + c);
  });
  const float mean = columns > 0 ? RowSum<kWarpPerRow>(product, shared) / static_cast<float>(columns) : 0.0f;
  const float rstd = rstds[row], pull = mean * rstd * rstd * rstd;
  const auto write = [&](const Piece& d, const Piece& s, int64_t c) {
    InputGradient<kHasDsum>(d, s, weight + c, dsum + (kHasDsum ? start + c : 0), rstd, pull, dx + start + c);
  };
  EachKept<kVec>(columns, [&](int k, int64_t c) { write(kept_dy[k], kept_sum[k], c); });
  EachOther<kVec>(columns, [&](int64_t c) { write(Piece::Load(dy + start + c), Piece::Load(sum + start + c), c); });
}

struct Shape {
  bool is_warp_per_row;
  dim3 grid, block;
};

// About two pieces a thread.
Shape ShapeOf(int64_t rows, int64_t columns, int vec) {
  const int64_t pieces = (columns + vec - 1) / vec;
  if (pieces <= kWarpSize * kKept) {
    return {true, dim3(NumBlocks(rows, kRowsPerBlock)), dim3(kWarpSize, kRowsPerBlock)};
  }
  const int64_t threads = (pieces / 2 + kWarpSize - 1) / kWarpSize * kWarpSize;
  return {false, dim3(NumBlocks(rows, 1)), dim3(static_cast<unsigned>(threads < kMostThreads ? threads : kMostThreads))};
}

template <class T, int kVec, bool kHasResidual>
RocitCudaStatus Forward(const RocitRmsNormArgs& a, const RocitCuda& cuda) {
  const Shape shape = ShapeOf(a.num_rows, a.hidden_size, kVec);
  const auto kernel = shape.is_warp_per_row ? &RmsNormKernel<T, kVec, kHasResidual, true>
                                            : &RmsNormKernel<T, kVec, kHasResidual, false>;
  return Launch(kernel, shape.grid, shape.block, 0, cuda.stream, a.num_rows, a.hidden_size, a.eps,
                static_cast<const T*>(a.x), static_cast<const T*>(a.residual), static_cast<const T*>(a.weight),
                static_cast<T*>(a.y), static_cast<T*>(a.sum), a.rstd);
}

template <class T, int kVec, bool kHasDsum>
RocitCudaStatus Backward(const RocitRmsNormGradArgs& a, const RocitCuda& cuda) {
  const Shape shape = ShapeOf(a.num_rows, a.hidden_size, kVec);
  const auto kernel = shape.is_warp_per_row ? &RmsNormGradKernel<T, kVec, kHasDsum, true>
                                            : &RmsNormGradKernel<T, kVec, kHasDsum, false>;
  return Launch(kernel, shape.grid, shape.block, 0, cuda.stream, a.num_rows, a.hidden_size, static_cast<const T*>(a.dy),
                static_cast<const T*>(a.dsum), static_cast<const T*>(a.sum), static_cast<const T*>(a.weight), a.rstd,
                static_cast<T*>(a.dx));
}

template <class T, int kVec>
RocitCudaStatus ForwardBy(const RocitRmsNormArgs& a, const RocitCuda& cuda) {
  return a.residual != nullptr ? Forward<T, kVec, true>(a, cuda) : Forward<T, kVec, false>(a, cuda);
}

template <class T, int kVec>
RocitCudaStatus BackwardBy(const RocitRmsNormGradArgs& a, const RocitCuda& cuda) {
  return a.dsum != nullptr ? Backward<T, kVec, true>(a, cuda) : Backward<T, kVec, false>(a, cuda);
}

template <class T>
RocitCudaStatus ForwardOf(const RocitRmsNormArgs& a, const RocitCuda& cuda) {
  const int64_t c = a.hidden_size;
  const bool is_aligned = IsAligned16<T>(a.x, c) && IsAligned16<T>(a.residual, c) && IsAligned16<T>(a.weight, c) &&
                          IsAligned16<T>(a.y, c) && IsAligned16<T>(a.sum, c);
  return is_aligned ? ForwardBy<T, kWidest<T>>(a, cuda) : ForwardBy<T, 1>(a, cuda);
}

template <class T>
RocitCudaStatus BackwardOf(const RocitRmsNormGradArgs& a, const RocitCuda& cuda) {
  const int64_t c = a.hidden_size;
  const bool is_aligned = IsAligned16<T>(a.dy, c) && IsAligned16<T>(a.dsum, c) && IsAligned16<T>(a.sum, c) &&
                          IsAligned16<T>(a.weight, c) && IsAligned16<T>(a.dx, c);
  return is_aligned ? BackwardBy<T, kWidest<T>>(a, cuda) : BackwardBy<T, 1>(a, cuda);
}

}  // namespace
}  // namespace rocit

RocitCudaStatus rocit_rms_norm_cuda(const RocitRmsNormArgs* args, const RocitCuda* cuda) {
  return args->dtype == ROCIT_BFLOAT16 ? rocit::ForwardOf<rocit::Bf16>(*args, *cuda) : rocit::ForwardOf<float>(*args, *cuda);
}

RocitCudaStatus rocit_rms_norm_grad_cuda(const RocitRmsNormGradArgs* args, const RocitCuda* cuda) {
  return args->dtype == ROCIT_BFLOAT16 ? rocit::BackwardOf<rocit::Bf16>(*args, *cuda)
                                       : rocit::BackwardOf<float>(*args, *cuda);
}
