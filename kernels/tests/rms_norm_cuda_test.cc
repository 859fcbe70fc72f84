// rms_norm on the device: against the float64 twin, the same bits in every order, memory that is not aligned.
#include "cases/rms_norm.h"
#include "device_case.h"

namespace {

using namespace rms_norm;

Outputs Run(const Case& c, const Inputs& in, int64_t shift, const std::string& name) {
  Tensors<device::OnDevice> t(c, in, shift);
  const RocitCuda cuda = device::Cuda();
  const RocitRmsNormArgs forward = t.Forward();
  device::IsDone(rocit_rms_norm_cuda(&forward, &cuda), name + " forward");
  const RocitRmsNormGradArgs backward = t.Backward();
  device::IsDone(rocit_rms_norm_grad_cuda(&backward, &cuda), name + " backward");
  return t.Read();
}

void TestCase(const Case& c) {
  const Inputs in(c);
  device::TestCase(
      c.Name(), [&](int64_t shift, const std::string& title) { return Run(c, in, shift, title); },
      [&](const Outputs& got, const std::string& title) { CompareWithTwin(c, in, got, title); });
}

}  // namespace

int main() {
  std::vector<Case> cases = Cases();
  // Many rows a block; a row a block; rows of which a part is read twice, by elements and by vectors.
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    cases.push_back({dtype, 130, 64, true});
    cases.push_back({dtype, 2, 2503, false});
    cases.push_back({dtype, 2, 4096, true});
    cases.push_back({dtype, 1, dtype == ROCIT_FLOAT32 ? 8208 : 16400, true});
  }
  for (const Case& c : cases) TestCase(c);
  return check::Finish("rms_norm_cuda");
}
