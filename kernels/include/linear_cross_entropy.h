// Output head and cross entropy over loss edges (row, target, weight), a row in any number of them:
//   logits = x W^T      edge_loss = log(sum_v exp(logits[row][v])) - logits[row][target]      loss = sum weight edge_loss
//   dx[row] = (sum of its weights) softmax(logits[row]) W - sum weight W[target]
// The head is frozen, so the forward makes dx for a loss gradient of one at once. Only rows with edges are computed. As
// in flash attention (Dao et al., arXiv 2205.14135) the softmax goes over the vocabulary slab by slab with a running
// maximum: no logits are stored. float32 sums; for bfloat16 the exponentials are rounded before the second product.
#ifndef ROCIT_LINEAR_CROSS_ENTROPY_H_
#define ROCIT_LINEAR_CROSS_ENTROPY_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  RocitDtype dtype;  // float32 or bfloat16, of x, weight, dx
  int64_t num_rows, hidden_size, vocab_size, num_edges;
  const void* x;                // [N, C]
  const void* weight;           // [V, C]
  const int32_t* edge_rows;     // [E], in [0, N)
  const int32_t* edge_targets;  // [E], in [0, V)
  const float* edge_weights;    // [E]
  float* loss;                  // [1]
  float* edge_losses;           // [E], unweighted
  void* dx;                     // [N, C], zero in rows without edges; null: not wanted
} RocitLinearCrossEntropyArgs;

void rocit_linear_cross_entropy(const RocitLinearCrossEntropyArgs* args, const RocitParallel* parallel);

int64_t rocit_linear_cross_entropy_cuda_workspace(const RocitLinearCrossEntropyArgs* args);
RocitCudaStatus rocit_linear_cross_entropy_cuda(const RocitLinearCrossEntropyArgs* args, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_LINEAR_CROSS_ENTROPY_H_
