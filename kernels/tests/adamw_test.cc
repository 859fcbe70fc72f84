// adamw over lists of tensors: against the float64 twin, norm and clipping, bad gradients, paths and threads.
#include "cases/adamw.h"

namespace {

using namespace adamw;

Step RunOn(int threads, State before, List grads, const AdamwSettings& s) {
  const std::vector<int64_t> sizes = SizesOf(before.params);
  Step after;
  for (List* list : {&after.state.params, &after.state.m, &after.state.v}) {
    for (const int64_t size : sizes) list->emplace_back(ROCIT_FLOAT32, size);
  }
  const auto p = Pointers(&before.params), g = Pointers(&grads), m = Pointers(&before.m), v = Pointers(&before.v);
  const auto new_p = Pointers(&after.state.params), new_m = Pointers(&after.state.m), new_v = Pointers(&after.state.v);
  RocitAdamwArgs args = ArgsOf(s, sizes);
  args.params = p.data(), args.grads = g.data(), args.m = m.data(), args.v = v.data();
  args.new_params = new_p.data(), args.new_m = new_m.data(), args.new_v = new_v.data();
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  after.result = rocit_adamw(&args, &parallel);
  return after;
}

void TestCase(const Case& c) {
  const RocitPath best = rocit_path();
  rocit_force_path(ROCIT_PORTABLE);
  const Step portable = RunOn(1, c.Before(), c.Grads(), c.settings);
  rocit_force_path(best);
  check::OnEachPath(c.name, [&](const std::string& name) {
    const Step one = RunOn(1, c.Before(), c.Grads(), c.settings);
    CompareWithTwin(c, one, 1e-12, name);
    check::That(one.state == portable.state, name + " has the bits of the portable path");
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) {
      const Step step = RunOn(threads, c.Before(), c.Grads(), c.settings);
      is_same = is_same && step.state == one.state && step.result.grad_norm == one.result.grad_norm;
    }
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
