// rope on the device, over queries and keys, against a copy of as many bytes; backward is the same work.
#include "cases/rope.h"

#include "cuda_bench.h"

namespace {

using namespace rope;

void Bench(const Case& c) {
  const Inputs in(c);
  Tensors<device::OnDevice> t(c, in);
  const RocitCuda cuda = device::Cuda();
  for (const int direction : {-1, 1}) {
    const RocitRopeArgs args = t.Args(direction);
    bench::Must(rocit_rope_cuda(&args, &cuda), "rope");
    AreNear(t.Read(), c, in, direction, c.Name() + (direction < 0 ? " backwards" : ""));
  }
  bench::StopIfWrongOnDevice(c.Name());
  const RocitRopeArgs args = t.Args(1);
  bench::AgainstDeviceCopy({"rope", bench::DtypeName(c.dtype), c.Shape()}, t.Bytes(),
                           [&] { return rocit_rope_cuda(&args, &cuda); });
}

}  // namespace

int main(int argc, char** argv) {
  bench::ReadArguments(argc, argv);
  for (const RocitDtype dtype : {ROCIT_BFLOAT16, ROCIT_FLOAT32}) {
    for (const Case& c : bench::Chosen(TimedCases(dtype))) Bench(c);
  }
  return bench::ExitCode();
}
