// Rotary position embedding (Su et al., arXiv 2104.09864). Pair i of a head turns by angle = position * inv_freq[i]:
//   y_a = x_a cos(angle) - x_b sin(angle)      y_b = x_b cos(angle) + x_a sin(angle)
// over the first rotary_dim channels of each head; the rest passes. Pair i is (i, i + rotary_dim / 2), or (2i, 2i + 1)
// where interleaved. The gradient is the same with direction -1. The angle is rounded to float32, as others do; its sine
// and cosine are taken once a position for all heads, of queries and keys alike.
#ifndef ROCIT_ROPE_H_
#define ROCIT_ROPE_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ROCIT_ROPE_MOST_TENSORS 2

typedef struct {
  int64_t num_heads;
  int64_t x_stride, y_stride;  // elements from row to row
  const void* x;               // [N, H, D]
  void* y;                     // [N, H, D]
} RocitRopeTensor;

typedef struct {
  RocitDtype dtype;  // float32 or bfloat16, of x and y
  int64_t num_rows, head_dim;
  int64_t rotary_dim;  // even, at most head_dim
  int interleaved;
  int direction;                // 1, or -1: the inverse
  const int32_t* position_ids;  // [N]
  const float* inv_freq;        // [rotary_dim / 2]
  int num_tensors;              // 1 to ROCIT_ROPE_MOST_TENSORS
  RocitRopeTensor tensors[ROCIT_ROPE_MOST_TENSORS];
} RocitRopeArgs;

void rocit_rope(const RocitRopeArgs* args, const RocitParallel* parallel);

RocitCudaStatus rocit_rope_cuda(const RocitRopeArgs* args, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_ROPE_H_
