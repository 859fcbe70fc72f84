// adamw on the device over all adapters of a model at once, against a copy of as many bytes: the gradients are read
// twice, the rest once.
#include "cases/adamw.h"

#include "cuda_bench.h"

namespace {

using namespace adamw;

void Bench(const Case& c) {
  const Inputs in(c);
  Tensors<device::OnDevice> t(c.settings, in.before, in.grads);
  const RocitAdamwArgs args = t.Args();
  device::Memory workspace(static_cast<size_t>(rocit_adamw_cuda_workspace(&args)));
  device::Array<float> stats(int64_t{2});
  const RocitCuda cuda = device::Cuda(workspace.data());
  const auto run = [&] { return rocit_adamw_cuda(&args, stats.data(), &cuda); };
  bench::Must(run(), "adamw");
  const std::vector<float> found = stats.Read();
  CompareWithTwin(c, in, {t.Read(), {found[0], static_cast<int64_t>(found[1])}}, 1e-5, "adamw of " + c.name);
  bench::StopIfWrongOnDevice("adamw");
  const double count = static_cast<double>(std::accumulate(c.sizes.begin(), c.sizes.end(), int64_t{0}));
  bench::AgainstDeviceCopy({"adamw", "float32", c.name}, 8 * 4 * count, run);
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const Case& c : bench::Chosen(TimedCases())) Bench(c);
  return bench::ExitCode();
}
