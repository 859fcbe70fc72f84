// Rows of a table: y[n] = weight[ids[n]]. The table is frozen, so there is no gradient. Bytes are copied as they are.
#ifndef ROCIT_EMBEDDING_H_
#define ROCIT_EMBEDDING_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  RocitDtype dtype;  // float32 or bfloat16
  int64_t vocab_size, hidden_size, num_ids;
  const void* weight;  // [V, C]
  const int32_t* ids;  // [N]
  void* y;             // [N, C]
} RocitEmbeddingArgs;

// The index of the first id outside of [0, V), where nothing is written; else -1.
int64_t rocit_embedding(const RocitEmbeddingArgs* args, const RocitParallel* parallel);

// The ids must be checked before; rows of bad ones hold anything.
RocitCudaStatus rocit_embedding_cuda(const RocitEmbeddingArgs* args, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_EMBEDDING_H_
