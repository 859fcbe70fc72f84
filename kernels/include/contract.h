// What every operation's contract shares: element types, the threads that the caller lends, the stream for CUDA. Plain C.
// Shape legend: N rows, C hidden size.
#ifndef ROCIT_CONTRACT_H_
#define ROCIT_CONTRACT_H_

#include <stdint.h>

typedef enum { ROCIT_FLOAT32 = 0, ROCIT_BFLOAT16 = 1, ROCIT_FLOAT16 = 2 } RocitDtype;

// The caller's threads. `run` calls body(arg, begin, end) on disjoint ranges that together are [0, count), from any
// threads and in any order, and returns when all are done. `cost` is about the nanoseconds of one item. Results must
// not depend on how the range was cut.
typedef struct {
  void* context;
  void (*run)(void* context, int64_t count, int64_t cost, void (*body)(void* arg, int64_t begin, int64_t end),
              void* arg);
} RocitParallel;

// Where CUDA work goes: in order on the caller's stream; nothing waits for it. rocit_<op>_cuda takes the arguments of
// rocit_<op>, with all tensors in device memory; the structs themselves and arrays of pointers or sizes are on the host.
typedef struct {
  void* stream;     // cudaStream_t
  void* workspace;  // device memory, rocit_<op>_cuda_workspace() bytes, 256-byte aligned; null where that is 0
} RocitCuda;

// 0, or what went wrong: a cudaError_t, or 100000 + a cublasStatus_t.
typedef int RocitCudaStatus;

#endif  // ROCIT_CONTRACT_H_
