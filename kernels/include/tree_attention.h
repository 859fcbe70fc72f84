// Attention over a pack of prefix trees (column-wise mask bounds, FlashMask, arXiv 2410.01359) without a score matrix in
// memory (FlashAttention-2, arXiv 2307.08691). Query i is token t = query_start + i; it sees key j iff
// j <= t < subtree_end[j].
//   s_ij = scale q_i . k_j     lse_i = log sum_j exp(s_ij)     p_ij = exp(s_ij - lse_i)     out_i = sum_j p_ij v_j
//   delta_i = dout_i . out_i   ds_ij = p_ij (dout_i . v_j - delta_i)
//   dq_i = scale sum_j ds_ij k_j     dk_j = scale sum_i ds_ij q_i     dv_j = sum_i p_ij dout_i
// Head h reads key head h / (H / K). Legend: N queries, S keys, H heads, K key heads, D head size, S = query_start + N.
// Sums are float32. Where pairs of bfloat16 are multiplied, p and ds are rounded to bfloat16 first.
#ifndef ROCIT_TREE_ATTENTION_H_
#define ROCIT_TREE_ATTENTION_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  RocitDtype dtype;  // float32 or bfloat16, of all but lse
  int64_t num_queries, num_keys, num_heads, num_key_value_heads, head_dim;
  int64_t query_start;
  float scale;
  const int32_t* subtree_end;  // [S], nested: j < subtree_end[j] <= S
  const void* q;               // [N, H, D]
  const void* k;               // [S, K, D]
  const void* v;               // [S, K, D]
} RocitTreeAttentionInputs;

typedef struct {
  RocitTreeAttentionInputs in;
  void* out;   // [N, H, D]
  float* lse;  // [N, H]
} RocitTreeAttentionArgs;

typedef struct {
  RocitTreeAttentionInputs in;
  const void* dout;  // [N, H, D]
  const void* out;   // [N, H, D]
  const float* lse;  // [N, H]
  void* dq;          // [N, H, D]
  void* dk;          // [S, K, D]
  void* dv;          // [S, K, D]
  void* workspace;   // rocit_tree_attention_grad_workspace() bytes
} RocitTreeAttentionGradArgs;

// The first key whose bound does not nest, or -1.
int64_t rocit_tree_attention_bad_bound(const int32_t* subtree_end, int64_t num_keys);

void rocit_tree_attention(const RocitTreeAttentionArgs* args, const RocitParallel* parallel);

// Depends on the sizes and subtree_end only.
int64_t rocit_tree_attention_grad_workspace(const RocitTreeAttentionInputs* in);
void rocit_tree_attention_grad(const RocitTreeAttentionGradArgs* args, const RocitParallel* parallel);

// Both depend on the sizes only. On CUDA `workspace` of the arguments is not read, RocitCuda has it.
int64_t rocit_tree_attention_cuda_workspace(const RocitTreeAttentionInputs* in);
RocitCudaStatus rocit_tree_attention_cuda(const RocitTreeAttentionArgs* args, const RocitCuda* cuda);
int64_t rocit_tree_attention_grad_cuda_workspace(const RocitTreeAttentionInputs* in);
RocitCudaStatus rocit_tree_attention_grad_cuda(const RocitTreeAttentionGradArgs* args, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_TREE_ATTENTION_H_
