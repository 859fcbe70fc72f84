// gemm on CUDA: the library's product, or where it has none (no depth, memory that is aligned to nothing) a plain kernel
// of 16 x 16 tiles with float32 sums.
#include "cuda_gemm.h"

namespace rocit {
namespace {

constexpr int kTile = 16;

// Element (row, column) of an operand, 0 outside.
template <class T>
__device__ __forceinline__ float ElementOf(const T* from, int64_t stride, bool is_transposed, int64_t row, int64_t column,
                                           int64_t rows, int64_t columns) {
  if (row >= rows || column >= columns) return 0.0f;
  return ToFloat(is_transposed ? from[column * stride + row] : from[row * stride + column]);
}

// A block makes one tile of c.
template <class T, class C>
__global__ void __launch_bounds__(kTile* kTile) PlainGemm(RocitGemmArgs args) {
  ROCIT_SHARED float a_tile[kTile][kTile + 1];
  ROCIT_SHARED float b_tile[kTile][kTile + 1];
  const int x = static_cast<int>(threadIdx.x), y = static_cast<int>(threadIdx.y);
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTile + y, column = static_cast<int64_t>(blockIdx.y) * kTile + x;
  const T* a = static_cast<const T*>(args.a);
  const T* b = static_cast<const T*>(args.b);
  float sum = 0;
  for (int64_t k = 0; k < args.k; k += kTile) {
    a_tile[y][x] = ElementOf(a, args.a_stride, args.a_transposed != 0, row, k + x, args.m, args.k);
    b_tile[y][x] = ElementOf(b, args.b_stride, args.b_transposed != 0, k + y, column, args.k, args.n);
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kTile; ++i) sum = fmaf(a_tile[y][i], b_tile[i][x], sum);
    __syncthreads();
  }
  if (row >= args.m || column >= args.n) return;
  C* to = static_cast<C*>(args.c) + row * args.c_stride + column;
  *to = FromFloat<C>(args.beta == 0 ? sum : fmaf(args.beta, ToFloat(*to), sum));
}

// The grid's second dimension is the shorter one.
RocitCudaStatus Plain(const RocitGemmArgs& args, const RocitCuda& cuda) {
  const unsigned columns = NumBlocks(args.n, kTile);
  const auto launch = [&](auto* kernel) {
    return Launch(kernel, dim3(NumBlocks(args.m, kTile), columns), dim3(kTile, kTile), 0, cuda.stream, args);
  };
  if (args.dtype == ROCIT_FLOAT32) return launch(&PlainGemm<float, float>);
  return args.c_dtype == ROCIT_FLOAT32 ? launch(&PlainGemm<Bf16, float>) : launch(&PlainGemm<Bf16, Bf16>);
}

}  // namespace

RocitCudaStatus CudaGemm(const RocitGemmArgs& args, const RocitCuda& cuda, void* workspace) {
  if (args.m == 0 || args.n == 0 || (args.k == 0 && args.beta == 1)) return 0;
  const RocitCudaStatus status = args.k == 0 ? kLibraryRefuses : LibraryGemm(args, cuda, workspace);
  return status == kLibraryRefuses ? Plain(args, cuda) : status;
}

}  // namespace rocit

int64_t rocit_gemm_cuda_workspace(const RocitGemmArgs*) { return rocit::GemmWorkspaceBytes(); }

RocitCudaStatus rocit_gemm_cuda(const RocitGemmArgs* args, const RocitCuda* cuda) {
  return rocit::CudaGemm(*args, *cuda, cuda->workspace);
}
