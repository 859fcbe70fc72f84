// adamw over lists of tensors: against the float64 twin, norm and clipping, bad gradients, paths and threads.
#include "cases/adamw.h"

namespace {

using namespace adamw;

Step RunOn(int threads, const State& before, const List& grads, const AdamwSettings& settings) {
  Tensors<cases::OnHost> t(settings, before, grads);
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  const RocitAdamwArgs args = t.Args();
  const RocitAdamwResult result = rocit_adamw(&args, &parallel);
  return {t.Read(), result};
}

void TestCase(const Case& c) {
  const Inputs in(c);
  const auto run = [&](int threads) { return RunOn(threads, in.before, in.grads, c.settings); };
  const RocitPath best = rocit_path();
  rocit_force_path(ROCIT_PORTABLE);
  const Step portable = run(1);
  rocit_force_path(best);
  check::OnEachPath(c.name, [&](const std::string& name) {
    const Step one = run(1);
    CompareWithTwin(c, in, one, 1e-12, name);
    check::That(one.state == portable.state, name + " has the bits of the portable path");
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) is_same = is_same && run(threads) == one;
    check::That(is_same, name + " does not depend on the number of threads");
  });
}

}  // namespace

int main() {
  for (const Case& c : Cases()) TestCase(c);
  const Run run = [](const State& before, const List& grads, const AdamwSettings& s) { return RunOn(3, before, grads, s); };
  check::OnEachPath("adamw", [&](const std::string& name) { TestBadGradients(run, name); });
  TestTenSteps(kPlain, run, "adamw");
  TestTenSteps(kFull, run, "adamw");
  return check::Finish("adamw");
}
