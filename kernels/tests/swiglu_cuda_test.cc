// swiglu on the device: against the float64 twin, the same bits in every order, memory that is not aligned; sigmoids over
// the whole range; values that are not finite.
#include "cases/swiglu.h"
#include "device_case.h"

namespace {

using namespace swiglu;

Outputs Run(const Case& c, const Inputs& in, int64_t shift, const std::string& name) {
  Tensors<device::OnDevice> t(c, in, shift);
  const RocitCuda cuda = device::Cuda();
  const RocitSwigluArgs forward = t.Forward();
  device::IsDone(rocit_swiglu_cuda(&forward, &cuda), name + " forward");
  const RocitSwigluGradArgs backward = t.Backward();
  device::IsDone(rocit_swiglu_grad_cuda(&backward, &cuda), name + " backward");
  return t.Read();
}

void TestCase(const Case& c) {
  const Inputs in(c);
  device::TestCase(
      c.Name(), [&](int64_t shift, const std::string& title) { return Run(c, in, shift, title); },
      [&](const Outputs& got, const std::string& title) { CompareWithTwin(c, in, got, title); });
}

template <class Special>
void TestSpecial(const std::string& name) {
  const Special special;
  special.Check(Run(special.c, special.in, 0, name), name);
}

// The gaps between rows of the outputs stay as they are.
void TestGaps() {
  const Case c = {ROCIT_BFLOAT16, 3, 16, 8, 1};
  const Inputs in(c);
  device::Tensor gate(in.gate), up(in.up), y(c.dtype, c.rows * c.Stride());
  const RocitCuda cuda = device::Cuda();
  const RocitSwigluArgs args = {c.dtype, c.rows, c.size, c.Stride(), c.Stride(), c.Stride(), gate.data(), up.data(), y.data()};
  device::IsDone(rocit_swiglu_cuda(&args, &cuda), "swiglu with gaps in y");
  const Values got = y.Read(), dense = Run(c, in, 0, "swiglu without").y;
  bool is_kept = true, is_same = true;
  for (int64_t i = 0; i < got.size(); ++i) {
    const int64_t n = i / c.Stride(), column = i % c.Stride();
    if (column < c.size) is_same = is_same && got.Get(i) == dense.Get(n * c.size + column);
    else is_kept = is_kept && std::isnan(got.Get(i));
  }
  check::That(is_same, "swiglu writes the same values to rows with gaps");
  check::That(is_kept, "swiglu writes nothing into the gaps");
}

}  // namespace

int main() {
  std::vector<Case> cases = Cases();
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    cases.push_back({dtype, 3, 2048, 16, 4});
    cases.push_back({dtype, 7, 1024, 0, 4});
  }
  for (const Case& c : cases) TestCase(c);
  TestSpecial<Sweep>("swiglu from -87 to 87");
  TestSpecial<Ends>("swiglu of extremes");
  TestGaps();
  return check::Finish("swiglu_cuda");
}
