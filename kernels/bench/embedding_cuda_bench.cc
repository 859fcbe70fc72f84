// embedding on the device, against a copy of as many bytes.
#include "cases/embedding.h"

#include "cuda_bench.h"

namespace {

using namespace embedding;

void Bench(const Case& c) {
  const Inputs in(c);
  Tensors<device::OnDevice> t(c, in);
  const RocitCuda cuda = device::Cuda();
  const RocitEmbeddingArgs args = t.Args();
  const auto run = [&] { return rocit_embedding_cuda(&args, &cuda); };
  bench::Must(run(), "embedding");
  const Values y = t.y.Read();
  check::That(IsGathered(c, in, y), c.Name() + " copies rows");
  bench::StopIfWrongOnDevice(c.Name());
  const std::string shape =
      std::to_string(c.count()) + "x" + std::to_string(c.hidden) + " of " + std::to_string(c.vocab);
  const double bytes = 2.0 * static_cast<double>(y.bytes.size());
  bench::AgainstDeviceCopy({"embedding", bench::DtypeName(c.dtype), shape}, bytes, run);
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Case& c : bench::Chosen(TimedCases(dtype))) Bench(c);
  }
  return bench::ExitCode();
}
