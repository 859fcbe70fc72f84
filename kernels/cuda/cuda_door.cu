// Uploads and words for the door of a framework.
#include "cuda_door.h"

#include "device.h"

RocitCudaStatus rocit_cuda_upload(void* device, const void* host, int64_t bytes, const RocitCuda* cuda) {
  return static_cast<RocitCudaStatus>(cudaMemcpyAsync(device, host, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                                                      static_cast<cudaStream_t>(cuda->stream)));
}

const char* rocit_cuda_error_text(RocitCudaStatus error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); }
