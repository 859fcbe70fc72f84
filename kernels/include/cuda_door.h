// What a framework's door needs of the device beside the operations: arrays from the host, and words for a status.
#ifndef ROCIT_CUDA_DOOR_H_
#define ROCIT_CUDA_DOOR_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

// Copies `bytes` from pageable host memory to device memory, in order on the stream. The host array may go at once.
RocitCudaStatus rocit_cuda_upload(void* device, const void* host, int64_t bytes, const RocitCuda* cuda);

// Of a cudaError_t.
const char* rocit_cuda_error_text(RocitCudaStatus error);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_CUDA_DOOR_H_
