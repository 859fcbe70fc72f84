// rope on the CPU: threads over rows; a row's sines and cosines once, then vectors over each head. Bound by memory.
#include "rope.h"

#include <cmath>
#include <vector>

#include "elements.h"
#include "parallel.h"

namespace rocit {

// Floats of one of the two tables of a row: the rotated channels in whole blocks of sixteen pairs.
inline int64_t RopeTableSize(const RocitRopeArgs& args) { return (args.rotary_dim + 31) / 32 * 32; }

}  // namespace rocit

#define ROCIT_LOOPS "rope_loops.h"
#include "each_path.h"

void rocit_rope(const RocitRopeArgs* args, const RocitParallel* parallel) {
  int64_t heads = 0;
  for (int t = 0; t < args->num_tensors; ++t) heads += args->tensors[t].num_heads;
  const int64_t cost = heads * args->head_dim / 4 + args->rotary_dim;
  rocit::ParallelFor(parallel, args->num_rows, cost, [args](int64_t begin, int64_t end) {
    std::vector<float> scratch(2 * rocit::RopeTableSize(*args));
    if (args->dtype == ROCIT_BFLOAT16) {
      ROCIT_DISPATCH(RopeRows<rocit::Bfloat16>, *args, scratch.data(), begin, end);
    } else {
      ROCIT_DISPATCH(RopeRows<float>, *args, scratch.data(), begin, end);
    }
  });
}
