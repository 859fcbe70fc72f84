// swiglu on the device, forward and backward, against a copy of as many bytes.
#include "cases/swiglu.h"

#include "cuda_bench.h"

namespace {

using namespace swiglu;

void Bench(const Case& c) {
  const Inputs in(c);
  Tensors<device::OnDevice> t(c, in);
  const RocitCuda cuda = device::Cuda();
  const RocitSwigluArgs forward = t.Forward();
  const RocitSwigluGradArgs backward = t.Backward();
  const auto run = [&] { return rocit_swiglu_cuda(&forward, &cuda); };
  const auto run_back = [&] { return rocit_swiglu_grad_cuda(&backward, &cuda); };
  bench::Must(run(), "swiglu");
  bench::Must(run_back(), "swiglu grad");
  CompareWithTwin(c, in, t.Read(), c.Name());
  bench::StopIfWrongOnDevice(c.Name());
  const double bytes = static_cast<double>(in.gate.bytes.size());
  bench::AgainstDeviceCopy({"swiglu", bench::DtypeName(c.dtype), c.Shape()}, 3 * bytes, run);
  bench::AgainstDeviceCopy({"swiglu grad", bench::DtypeName(c.dtype), c.Shape()}, 5 * bytes, run_back);
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Case& c : bench::Chosen(TimedCases(dtype))) Bench(c);
  }
  return bench::ExitCode();
}
