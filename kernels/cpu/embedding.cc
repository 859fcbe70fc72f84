// embedding on the CPU: threads over rows, each row one memcpy, which picks the machine's widest path by itself. Bound by
// memory, and by its latency where rows are short.
#include "embedding.h"

#include <cstring>

#include "parallel.h"

int64_t rocit_embedding(const RocitEmbeddingArgs* args, const RocitParallel* parallel) {
  for (int64_t n = 0; n < args->num_ids; ++n) {
    if (args->ids[n] < 0 || args->ids[n] >= args->vocab_size) return n;
  }
  const int64_t bytes = args->hidden_size * (args->dtype == ROCIT_FLOAT32 ? 4 : 2);
  if (bytes == 0) return -1;
  const char* weight = static_cast<const char*>(args->weight);
  char* y = static_cast<char*>(args->y);
  rocit::ParallelFor(parallel, args->num_ids, bytes / 8, [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) std::memcpy(y + n * bytes, weight + args->ids[n] * bytes, bytes);
  });
  return -1;
}
