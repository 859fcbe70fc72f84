// gemm on the device: against the float64 twin; through the library, and through the plain kernel for what that refuses.
#include "cases/gemm.h"
#include "device_memory.h"

namespace {

using namespace gemm;

Values Run(const Case& k, const Inputs& in, int64_t shift, const std::string& name) {
  Tensors<device::OnDevice> t(k, in, shift);
  const RocitGemmArgs args = t.Args();
  device::Memory workspace(static_cast<size_t>(rocit_gemm_cuda_workspace(&args)));
  const RocitCuda cuda = device::Cuda(workspace.data());
  device::IsDone(rocit_gemm_cuda(&args, &cuda), name);
  return t.Read();
}

void TestCase(const Case& k) {
  const Inputs in(k);
  const Twin twin(k, in);
  for (const int64_t shift : {0, 1}) {
    const std::string name = k.Name() + (shift > 0 ? " not aligned" : "");
    const Values first = Run(k, in, shift, name);
    CompareWithTwin(k, twin, first, name);
    if (k.gap == 0 && k.a_transposed) continue;  // each of these takes three runs
    device::InEachOrder([&](const std::string& order) {
      check::That(Run(k, in, shift, name).bytes == first.bytes, name + " has the same bits with " + order);
    });
  }
}

}  // namespace

int main() {
  for (const Case& k : Cases()) TestCase(k);
  return check::Finish("gemm_cuda");
}
