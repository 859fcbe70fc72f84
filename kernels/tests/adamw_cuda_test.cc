// adamw on the device: against the float64 twin, more tensors than one launch takes, memory that is not aligned, the same
// bits in every order, bad gradients.
#include "cases/adamw.h"
#include "device_case.h"

namespace {

using namespace adamw;

Step RunOnDevice(const State& before, const List& grads, const AdamwSettings& settings, int64_t shift,
                 const std::string& name) {
  Tensors<device::OnDevice> t(settings, before, grads, shift);
  const RocitAdamwArgs args = t.Args();
  device::Memory workspace(static_cast<size_t>(rocit_adamw_cuda_workspace(&args)));
  device::Array<float> stats(2);
  const RocitCuda cuda = device::Cuda(workspace.data());
  device::IsDone(rocit_adamw_cuda(&args, stats.data(), &cuda), name);
  const std::vector<float> found = stats.Read();
  return {t.Read(), {found[0], static_cast<int64_t>(found[1])}};
}

// One rounding of a float: stats are floats.
constexpr double kNormBound = 1e-7;

void TestCase(const Case& c) {
  const Inputs in(c);
  const auto run = [&](int64_t shift, const std::string& title) {
    return RunOnDevice(in.before, in.grads, c.settings, shift, title);
  };
  device::TestCase(c.name, run, [&](const Step& got, const std::string& title) {
    CompareWithTwin(c, in, got, kNormBound, title);
  });
}

}  // namespace

int main() {
  for (const Case& c : Cases()) TestCase(c);
  // Several launches of the norm and more of the update, with empty tensors where one ends.
  std::vector<int64_t> many(410, 3);
  for (const int i : {0, 57, 58, 199, 200, 409}) many[i] = 0;
  many[301] = 8193;
  TestCase({"adamw of many tensors", kFull, many});
  TestCase({"adamw of many empty tensors", kFull, std::vector<int64_t>(500, 0)});
  const Run run = [](const State& before, const List& grads, const AdamwSettings& s) {
    return RunOnDevice(before, grads, s, 0, "adamw");
  };
  TestBadGradients(run, "adamw");
  TestTenSteps(kPlain, run, "adamw");
  TestTenSteps(kFull, run, "adamw");
  return check::Finish("adamw_cuda");
}
