// rms_norm with residual on the device, forward and backward, against a copy of as many bytes.
#include "cases/rms_norm.h"

#include "cuda_bench.h"

namespace {

using namespace rms_norm;

void Bench(const Case& c) {
  const Inputs in(c);
  Tensors<device::OnDevice> t(c, in);
  const RocitCuda cuda = device::Cuda();
  const RocitRmsNormArgs forward = t.Forward();
  const RocitRmsNormGradArgs backward = t.Backward();
  const auto run = [&] { return rocit_rms_norm_cuda(&forward, &cuda); };
  const auto run_back = [&] { return rocit_rms_norm_grad_cuda(&backward, &cuda); };
  bench::Must(run(), "rms_norm");
  bench::Must(run_back(), "rms_norm grad");
  CompareWithTwin(c, in, t.Read(), c.Name());
  bench::StopIfWrongOnDevice(c.Name());
  const double bytes = 4 * static_cast<double>(in.x.bytes.size());
  bench::AgainstDeviceCopy({"rms_norm", bench::DtypeName(c.dtype), c.Shape()}, bytes, run);
  bench::AgainstDeviceCopy({"rms_norm grad", bench::DtypeName(c.dtype), c.Shape()}, bytes, run_back);
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Case& c : bench::Chosen(TimedCases(dtype))) Bench(c);
  }
  return bench::ExitCode();
}
