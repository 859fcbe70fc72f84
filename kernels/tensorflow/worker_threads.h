// TensorFlow's worker threads as the contract's parallel_for.
#ifndef ROCIT_TENSORFLOW_WORKER_THREADS_H_
#define ROCIT_TENSORFLOW_WORKER_THREADS_H_

#include <cstdint>

#include "tensorflow/core/lib/core/threadpool.h"

namespace rocit {

// Calls body(arg, begin, end) over pieces of [0, count) on the calling thread and the pool's; cost is about the
// nanoseconds of one item. Threads take the next piece when they are done with the last, since items may differ much.
void RunOnWorkers(tensorflow::thread::ThreadPool* pool, int64_t count, int64_t cost,
                  void (*body)(void*, int64_t, int64_t), void* arg);

}  // namespace rocit

#endif  // ROCIT_TENSORFLOW_WORKER_THREADS_H_
