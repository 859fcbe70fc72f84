// rms_norm on the device: against the float64 twin, the same bits in every order, memory that is not aligned.
#include "cases/rms_norm.h"
#include "device_memory.h"

namespace {

using namespace rms_norm;

Outputs Run(const Case& c, const Inputs& in, int64_t shift, const std::string& name) {
  const int64_t size = c.rows * c.columns;
  device::Tensor x(in.x, shift), residual(in.residual, shift), weight(in.weight, shift), dy(in.dy, shift);
  device::Tensor dsum(in.dsum, shift), y(c.dtype, size, shift), sum(c.dtype, size, shift), dx(c.dtype, size, shift);
  device::Tensor rstd(ROCIT_FLOAT32, c.rows);
  const RocitCuda cuda = device::Cuda();
  const RocitRmsNormArgs forward = {c.dtype, c.rows, c.columns, 1e-5f, x.data(),
                                    c.has_residual ? residual.data() : nullptr, weight.data(), y.data(),
                                    c.has_residual ? sum.data() : nullptr, rstd.floats()};
  device::IsDone(rocit_rms_norm_cuda(&forward, &cuda), name + " forward");
  const RocitRmsNormGradArgs backward = {c.dtype, c.rows, c.columns, dy.data(), c.has_residual ? dsum.data() : nullptr,
                                         c.has_residual ? sum.data() : x.data(), weight.data(), rstd.floats(), dx.data()};
  device::IsDone(rocit_rms_norm_grad_cuda(&backward, &cuda), name + " backward");
  return {y.Read(), c.has_residual ? sum.Read() : Values(c.dtype, 0), rstd.Read(), dx.Read()};
}

void TestCase(const Case& c) {
  const Inputs in(c);
  for (const int64_t shift : {0, 1}) {
    const std::string title = c.Name() + (shift > 0 ? " not aligned" : "");
    const Outputs first = Run(c, in, shift, title);
    CompareWithTwin(c, in, first, title);
    device::InEachOrder([&](const std::string& order) {
      check::That(Run(c, in, shift, title) == first, title + " has the same bits with " + order);
    });
  }
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
