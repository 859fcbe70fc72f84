// Frozen linear layers with low-rank adapters (Hu et al., arXiv 2106.09685), several projections of one input:
//   z = drop(x) A^T      y = x W^T + bias + scaling z B^T
//   dz = scaling dy B    dx = sum over projections of dy W + drop'(dz A)    dA = dz^T drop(x)    dB = scaling dy^T z
// Adapters are float32 over a float32 or bfloat16 base, all sums are float32; neither BA nor dW is ever formed.
// drop multiplies by 0 or 1 / (1 - dropout), by a hash of (seed, row, channel): the same forward and backward.
// Shapes: N rows, R rank of a projection, S sum of the ranks of all.
#ifndef ROCIT_LORA_LINEAR_H_
#define ROCIT_LORA_LINEAR_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ROCIT_LORA_MOST_PROJECTIONS 8

typedef struct {
  int64_t out_features;
  int64_t rank;        // 0: no adapter
  const void* weight;  // [out, in]
  const void* bias;    // [out], or null; not read backward
  const float* a;      // [R, in]
  const float* b;      // [out, R]
  float scaling;
  float dropout;  // in [0, 1)
  uint64_t seed;
} RocitLoraProjection;

typedef struct {
  RocitDtype dtype;  // float32 or bfloat16, of x, weight, bias, y
  int64_t num_rows, in_features;
  int64_t num_projections;  // at most ROCIT_LORA_MOST_PROJECTIONS
  const RocitLoraProjection* projections;
  const void* x;   // [N, in]
  void* const* y;  // [N, out] of each projection
  float* z;        // [N, S], the projections side by side
} RocitLoraLinearArgs;

typedef struct {
  RocitDtype dtype;
  int64_t num_rows, in_features;
  int64_t num_projections;
  const RocitLoraProjection* projections;
  const void* x;          // [N, in]
  const float* z;         // [N, S], from the forward
  const void* const* dy;  // [N, out] of each projection, or null: zero
  void* dx;               // [N, in], or null: not wanted
  float* const* da;       // [R, in] of each projection; null where there is no adapter
  float* const* db;       // [out, R]
  // What da and db are added to, as they are: the sums of earlier batches, memory apart from da
  // and db. Null, or null in it: zero.
  const float* const* da_before;
  const float* const* db_before;
} RocitLoraLinearGradArgs;

void rocit_lora_linear(const RocitLoraLinearArgs* args, const RocitParallel* parallel);
void rocit_lora_linear_grad(const RocitLoraLinearGradArgs* args, const RocitParallel* parallel);

int64_t rocit_lora_linear_cuda_workspace(const RocitLoraLinearArgs* args);
RocitCudaStatus rocit_lora_linear_cuda(const RocitLoraLinearArgs* args, const RocitCuda* cuda);
int64_t rocit_lora_linear_grad_cuda_workspace(const RocitLoraLinearGradArgs* args);
RocitCudaStatus rocit_lora_linear_grad_cuda(const RocitLoraLinearGradArgs* args, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_LORA_LINEAR_H_
