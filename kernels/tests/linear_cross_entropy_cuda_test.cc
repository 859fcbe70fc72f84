// linear_cross_entropy on the device: against the float64 twin, the same bits in every order, memory that is not aligned,
// several chunks of rows; indices that the caller should have refused.
#include "cases/linear_cross_entropy.h"
#include "device_memory.h"

namespace {

using namespace linear_cross_entropy;

Results Run(const Case& c, const Inputs& in, int64_t shift, const std::string& name, bool wants_dx = true) {
  Tensors<device::OnDevice> t(c, in, shift);
  const RocitLinearCrossEntropyArgs args = t.Args(wants_dx);
  device::Memory workspace(static_cast<size_t>(rocit_linear_cross_entropy_cuda_workspace(&args)));
  const RocitCuda cuda = device::Cuda(workspace.data());
  device::IsDone(rocit_linear_cross_entropy_cuda(&args, &cuda), name);
  return t.Read();
}

void TestCase(const Case& c, RocitDtype dtype) {
  const Inputs in(c, dtype);
  const Twin twin(c, in);
  for (const int64_t shift : {0, 1}) {
    const std::string name = NameOf(c, dtype) + (shift > 0 ? " not aligned" : "");
    const Results first = Run(c, in, shift, name);
    CompareWithTwin(c, twin, first, name);
    if (shift > 0) continue;
    device::InEachOrder([&](const std::string& order) {
      check::That(Run(c, in, shift, name) == first, name + " has the same bits with " + order);
    });
    const Results only = Run(c, in, shift, name, false);
    check::That(only.losses.bytes == first.losses.bytes, name + " has the same losses without dx");
  }
}

// A NaN in x reaches its own edge and no other; so does an index outside.
void TestStrangers() {
  Case c = Regular("strangers", 30, 8, 100, 1);
  c.edge_rows[3] = 30;
  c.edge_rows[4] = -1;
  c.edge_targets[5] = 100;
  c.edge_targets[6] = -7;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    Inputs in(c, dtype);
    in.x.Set(7 * c.hidden + 2, NAN);
    const std::string name = NameOf(c, dtype);
    const Results got = Run(c, in, 0, name);
    bool holds = true;
    for (int64_t e = 0; e < 30; ++e) holds = holds && std::isnan(got.losses.Get(e)) == (e >= 3 && e <= 7);
    check::That(holds, name + " stay with their edges");
    check::That(std::isnan(got.loss.Get(0)), name + " show in the loss");
    for (int64_t i = 0; i < 30 * c.hidden; ++i) holds = holds && std::isnan(got.dx.Get(i)) == (i / c.hidden == 7);
    check::That(holds, name + " stay with their rows");
  }
}

}  // namespace

int main() {
  std::vector<Case> cases = {Regular("several chunks", 150, 5, 40, 1), Regular("rows far apart", 1100, 5, 40, 60),
                             Regular("a row of several steps", 3, 24, 4500, 1)};
  for (const Case& c : Cases()) {
    if (c.rows < 1000) cases.push_back(c);  // a thousand blocks are much for the emulator
  }
  for (const Case& c : cases) {
    TestCase(c, ROCIT_FLOAT32);
    TestCase(c, ROCIT_BFLOAT16);
  }
  TestStrangers();
  return check::Finish("linear_cross_entropy_cuda");
}
