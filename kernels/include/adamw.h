// AdamW (Loshchilov & Hutter, arXiv 1711.05101) over all tensors in one call, with clipping by the global norm.
//   norm = grad_scale * |all grads|                g = grad * grad_scale * min(1, max_grad_norm / (norm + 1e-6))
//   m' = beta1 m + (1 - beta1) g                   v' = beta2 v + (1 - beta2) g^2
//   p' = p (1 - learning_rate weight_decay) - learning_rate / bias_correction1 * m' / (sqrt(v' / bias_correction2) + eps)
// Nothing is changed in place. A gradient that is not finite makes the outputs copies of the inputs. The norm is summed
// in float64 over fixed chunks, so that it does not depend on the threads.
#ifndef ROCIT_ADAMW_H_
#define ROCIT_ADAMW_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  int64_t num_tensors;
  const int64_t* sizes;  // elements of each tensor
  const float* const* params;
  const float* const* grads;
  const float* const* m;
  const float* const* v;
  float* const* new_params;
  float* const* new_m;
  float* const* new_v;
  double learning_rate, beta1, beta2, eps, weight_decay;
  double max_grad_norm;  // <= 0: no clipping
  double grad_scale;
  double bias_correction1, bias_correction2;  // 1 - beta^step
} RocitAdamwArgs;

typedef struct {
  double grad_norm;        // after grad_scale, before clipping
  int64_t bad_tensor;      // the first tensor whose gradient holds NaN or Inf, or -1
} RocitAdamwResult;

RocitAdamwResult rocit_adamw(const RocitAdamwArgs* args, const RocitParallel* parallel);

// The result goes to stats [2] on the device: grad_norm, bad_tensor.
int64_t rocit_adamw_cuda_workspace(const RocitAdamwArgs* args);
RocitCudaStatus rocit_adamw_cuda(const RocitAdamwArgs* args, float* stats, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_ADAMW_H_
