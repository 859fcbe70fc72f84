// rms_norm on the CPU: threads over rows, vectors over columns. Bound by memory: forward reads x (and residual) once.
#include "rms_norm.h"

#include "elements.h"
#include "parallel.h"

#define ROCIT_LOOPS "rms_norm_loops.h"
#include "each_path.h"

namespace {

int64_t RowCost(int64_t hidden_size) { return hidden_size / 4; }

}  // namespace

void rocit_rms_norm(const RocitRmsNormArgs* args, const RocitParallel* parallel) {
  rocit::ParallelFor(parallel, args->num_rows, RowCost(args->hidden_size), [args](int64_t begin, int64_t end) {
    if (args->dtype == ROCIT_BFLOAT16) {
      ROCIT_DISPATCH(RmsNormRows<rocit::Bfloat16>, *args, begin, end);
    } else {
      ROCIT_DISPATCH(RmsNormRows<float>, *args, begin, end);
    }
  });
}

void rocit_rms_norm_grad(const RocitRmsNormGradArgs* args, const RocitParallel* parallel) {
  rocit::ParallelFor(parallel, args->num_rows, RowCost(args->hidden_size), [args](int64_t begin, int64_t end) {
    if (args->dtype == ROCIT_BFLOAT16) {
      ROCIT_DISPATCH(RmsNormGradRows<rocit::Bfloat16>, *args, begin, end);
    } else {
      ROCIT_DISPATCH(RmsNormGradRows<float>, *args, begin, end);
    }
  });
}
