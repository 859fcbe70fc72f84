// RMSNorm (Zhang & Sennrich, arXiv 1910.07467) with the residual addition in front.
//   sum = x + residual (rounded to the dtype)      rstd = 1 / sqrt(mean_C(sum^2) + eps)      y = sum * rstd * weight
//   dx = dresidual = dsum + rstd * (weight * dy - sum * rstd^2 * mean_C(weight * dy * sum))
// The weight is frozen: it has no gradient. Rows are contiguous; arithmetic is float32 for both dtypes.
#ifndef ROCIT_RMS_NORM_H_
#define ROCIT_RMS_NORM_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  RocitDtype dtype;  // float32 or bfloat16, of all but rstd
  int64_t num_rows, hidden_size;
  float eps;
  const void* x;         // [N, C]
  const void* residual;  // [N, C], or null: none
  const void* weight;    // [C]
  void* y;               // [N, C]
  void* sum;             // [N, C], not written when residual is null
  float* rstd;           // [N]
} RocitRmsNormArgs;

typedef struct {
  RocitDtype dtype;
  int64_t num_rows, hidden_size;
  const void* dy;      // [N, C]
  const void* dsum;    // [N, C], or null: zero
  const void* sum;     // [N, C]; x when there was no residual
  const void* weight;  // [C]
  const float* rstd;   // [N]
  void* dx;            // [N, C]
} RocitRmsNormGradArgs;

void rocit_rms_norm(const RocitRmsNormArgs* args, const RocitParallel* parallel);
void rocit_rms_norm_grad(const RocitRmsNormGradArgs* args, const RocitParallel* parallel);

RocitCudaStatus rocit_rms_norm_cuda(const RocitRmsNormArgs* args, const RocitCuda* cuda);
RocitCudaStatus rocit_rms_norm_grad_cuda(const RocitRmsNormGradArgs* args, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_RMS_NORM_H_
