// rms_norm forward and backward: against the float64 twin, on every vector path, with 1 to 4 threads.
#include "cases/rms_norm.h"

namespace {

using namespace rms_norm;

Outputs Run(const Case& c, const Inputs& in, int threads, int64_t grain) {
  Tensors<cases::OnHost> t(c, in);
  check::Threads pool(threads, grain);
  const RocitParallel parallel = pool.contract();
  const RocitRmsNormArgs forward = t.Forward();
  rocit_rms_norm(&forward, &parallel);
  const RocitRmsNormGradArgs backward = t.Backward();
  rocit_rms_norm_grad(&backward, &parallel);
  return t.Read();
}

void TestCase(const Case& c) {
  const Inputs in(c);
  rocit_force_path(ROCIT_PORTABLE);
  const Outputs portable = Run(c, in, 1, 1);
  check::OnEachPath(c.Name(), [&](const std::string& name) {
    const Outputs one = Run(c, in, 1, 1000);
    CompareWithTwin(c, in, one, name);
    check::That(one == portable, name + " has the bits of the portable path");
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) is_same = is_same && Run(c, in, threads, 1) == one;
    check::That(is_same, name + " does not depend on the number of threads");
  });
}

}  // namespace

int main() {
  const RocitPath best = rocit_path();
  for (const Case& c : Cases()) {
    rocit_force_path(best);
    TestCase(c);
  }
  return check::Finish("rms_norm");
}
