// SwiGLU (Shazeer, arXiv 2002.05202), with s the sigmoid of gate:
//   y = gate s up      d_gate = dy up s (1 + gate (1 - s))      d_up = dy gate s
// Nothing is saved between the two: backward takes gate and up again.
#ifndef ROCIT_SWIGLU_H_
#define ROCIT_SWIGLU_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  RocitDtype dtype;  // float32 or bfloat16, of all
  int64_t num_rows, size;  // F, the intermediate size
  int64_t gate_stride, up_stride, y_stride;  // elements from row to row
  const void* gate;  // [N, F]
  const void* up;    // [N, F]
  void* y;           // [N, F]
} RocitSwigluArgs;

typedef struct {
  RocitDtype dtype;
  int64_t num_rows, size;
  int64_t dy_stride, gate_stride, up_stride, d_gate_stride, d_up_stride;
  const void* dy;    // [N, F]
  const void* gate;  // [N, F]
  const void* up;    // [N, F]
  void* d_gate;      // [N, F]
  void* d_up;        // [N, F]
} RocitSwigluGradArgs;

void rocit_swiglu(const RocitSwigluArgs* args, const RocitParallel* parallel);
void rocit_swiglu_grad(const RocitSwigluGradArgs* args, const RocitParallel* parallel);

RocitCudaStatus rocit_swiglu_cuda(const RocitSwigluArgs* args, const RocitCuda* cuda);
RocitCudaStatus rocit_swiglu_grad_cuda(const RocitSwigluGradArgs* args, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_SWIGLU_H_
