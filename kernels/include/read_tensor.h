// Values of a file (little-endian, as in safetensors) to memory, converted to the wanted dtype by round to nearest even.
#ifndef ROCIT_READ_TENSOR_H_
#define ROCIT_READ_TENSOR_H_

#include "contract.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  ROCIT_READ_OK = 0,
  ROCIT_READ_NO_FILE = 1,     // cannot be opened, or is no regular file: system_error
  ROCIT_READ_TOO_SHORT = 2,   // offset + bytes is behind the end: file_bytes
  ROCIT_READ_FAILED = 3,      // the system gave up in between: system_error
  ROCIT_READ_NOT_FINITE = 4,  // NaN, Inf, or too large for the dtype: bad_index, the first one
  ROCIT_READ_CUDA = 5,        // the copy to the device failed: system_error, a RocitCudaStatus
} RocitReadStatus;

typedef struct {
  const char* path;
  int64_t offset;  // in bytes, >= 0
  int64_t count;   // values
  RocitDtype source_dtype;
  RocitDtype dtype;  // float32 or bfloat16
  int check_finite;
  void* y;  // [count]
} RocitReadTensorArgs;

typedef struct {
  RocitReadStatus status;
  int system_error;  // errno
  int64_t file_bytes;
  int64_t bad_index;
} RocitReadResult;

RocitReadResult rocit_read_tensor(const RocitReadTensorArgs* args, const RocitParallel* parallel);

// y is in device memory. The file is read and converted on the CPU into one half of `staging` while the other is copied:
// host memory of 8 bytes at least, page-locked where copies are to be fast. Waits for the stream.
RocitReadResult rocit_read_tensor_cuda(const RocitReadTensorArgs* args, void* staging, int64_t staging_bytes,
                                       const RocitParallel* parallel, const RocitCuda* cuda);

#ifdef __cplusplus
}
#endif
#endif  // ROCIT_READ_TENSOR_H_
