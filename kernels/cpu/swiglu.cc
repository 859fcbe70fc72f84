// swiglu on the CPU: threads over rows, vectors over columns. Bound by memory: 3 arrays forward, 5 backward, one pass each.
#include "swiglu.h"

#include "elements.h"
#include "parallel.h"

#define ROCIT_LOOPS "swiglu_loops.h"
#include "each_path.h"

void rocit_swiglu(const RocitSwigluArgs* args, const RocitParallel* parallel) {
  rocit::ParallelFor(parallel, args->num_rows, args->size / 2, [args](int64_t begin, int64_t end) {
    if (args->dtype == ROCIT_BFLOAT16) {
      ROCIT_DISPATCH(SwigluRows<rocit::Bfloat16>, *args, begin, end);
    } else {
      ROCIT_DISPATCH(SwigluRows<float>, *args, begin, end);
    }
  });
}

void rocit_swiglu_grad(const RocitSwigluGradArgs* args, const RocitParallel* parallel) {
  rocit::ParallelFor(parallel, args->num_rows, args->size, [args](int64_t begin, int64_t end) {
    if (args->dtype == ROCIT_BFLOAT16) {
      ROCIT_DISPATCH(SwigluGradRows<rocit::Bfloat16>, *args, begin, end);
    } else {
      ROCIT_DISPATCH(SwigluGradRows<float>, *args, begin, end);
    }
  });
}
