// swiglu forward and backward: against the float64 twin, on every vector path, with 1 to 4 threads; rows apart; sigmoids
// over the whole range; values that are not finite.
#include "cases/swiglu.h"

namespace {

using namespace swiglu;

Outputs Run(const Case& c, const Inputs& in, int threads, int64_t grain) {
  Tensors<cases::OnHost> t(c, in);
  check::Threads pool(threads, grain);
  const RocitParallel parallel = pool.contract();
  const RocitSwigluArgs forward = t.Forward();
  rocit_swiglu(&forward, &parallel);
  const RocitSwigluGradArgs backward = t.Backward();
  rocit_swiglu_grad(&backward, &parallel);
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

template <class Special>
void TestSpecial(const std::string& title) {
  const Special special;
  check::OnEachPath(title, [&](const std::string& name) { special.Check(Run(special.c, special.in, 1, 1), name); });
}

}  // namespace

int main() {
  const RocitPath best = rocit_path();
  for (const Case& c : Cases()) {
    rocit_force_path(best);
    TestCase(c);
  }
  rocit_force_path(best);
  TestSpecial<Sweep>("swiglu from -87 to 87");
  TestSpecial<Ends>("swiglu of extremes");
  return check::Finish("swiglu");
}
