// The matrix product of the kernels: c = a b + beta c, row-major, either side transposed in memory. float32, or bfloat16
// with float32 sums. On the CPU every element is one sum over k in order, on AMX 32 of k at a time: threads change no bit.
// AMX takes subnormal numbers for zero, and float32 as the sum of three bfloat16, which makes NaN of infinity. On CUDA it is
// cuBLASLt's, without TF32.
#ifndef ROCIT_GEMM_H_
#define ROCIT_GEMM_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  RocitDtype dtype;    // of a and b
  RocitDtype c_dtype;  // float32 or bfloat16
  int64_t m, n, k;
  const void* a;  // [m, k]; transposed: [k, m] in memory
  const void* b;  // [k, n]; transposed: [n, k] in memory
  void* c;        // [m, n]
  int64_t a_stride, b_stride, c_stride;  // elements from one row of memory to the next
  int a_transposed, b_transposed;
  float beta;  // 0: c is not read
} RocitGemmArgs;

void rocit_gemm(const RocitGemmArgs* args, const RocitParallel* parallel);

int64_t rocit_gemm_cuda_workspace(const RocitGemmArgs* args);
RocitCudaStatus rocit_gemm_cuda(const RocitGemmArgs* args, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_GEMM_H_
