// lora_linear on the device: against the float64 twin with the CPU kernel's masks, the same bits in every order, memory
// that is not aligned; sums over several tiles and pieces.
#include "cases/lora_linear.h"
#include "device_memory.h"

namespace {

using namespace lora_linear;

std::vector<Case> CudaCases() {
  std::vector<Case> cases = Cases();
  cases.push_back({"many columns", 70, 1160, {{264, 16, true, 2, 0, true}, {40, 24, false, 0.5f, 0, true}}, true});
  cases.push_back({"many rows", 700, 40, {{24, 16, false, 2, 0.2f, true}}, true});
  cases.push_back({"more columns than a block has", 40, 136, {{72, 40, false, 1, 0, true}, {16, 60, false, 1, 0, true}}, true});
  return cases;
}

Results Run(const Case& c, const Inputs& in, int64_t shift, const std::string& name, bool adds = false) {
  Tensors<device::OnDevice> t(c, in, shift);
  const RocitLoraLinearArgs forward = t.Forward();
  device::Memory forward_space(static_cast<size_t>(rocit_lora_linear_cuda_workspace(&forward)));
  const RocitCuda forward_cuda = device::Cuda(forward_space.data());
  device::IsDone(rocit_lora_linear_cuda(&forward, &forward_cuda), name + " forward");
  const RocitLoraLinearGradArgs backward = t.Backward(adds);
  device::Memory backward_space(static_cast<size_t>(rocit_lora_linear_grad_cuda_workspace(&backward)));
  const RocitCuda backward_cuda = device::Cuda(backward_space.data());
  device::IsDone(rocit_lora_linear_grad_cuda(&backward, &backward_cuda), name + " backward");
  return t.Read();
}

std::vector<double> Sum(std::vector<double> a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// y and dx pass through memory more than once. Their bound is that of the composition: twice its error, and it rounds each
// product and each addition. In tensors of a few numbers it may do well by luck, so there it counts as one full rounding.
void IsNear(const Values& got, const std::vector<double>& exact, const std::vector<double>& composed, const std::string& name) {
  if (got.dtype == ROCIT_FLOAT32) return check::IsNear(got, exact, name);
  const double least = exact.size() < 16 ? 0x1p-8 : 0x1p-9;
  const double bound = 2 * std::fmax(check::Error(composed, exact), least), error = check::Error(got.Doubles(), exact);
  check::That(error <= bound, name, "error " + std::to_string(error) + ", bound " + std::to_string(bound));
}

void CompareWithComposed(const Case& c, const Inputs& in, const Results& got, const std::string& name) {
  const RocitDtype dtype = in.x.dtype;
  check::Threads pool(1);
  const RocitParallel parallel = pool.contract();
  const auto rounded = [&](const std::vector<double>& values) { return Values(dtype, values).Doubles(); };
  std::vector<double> dx(c.rows * c.in), composed_dx(c.rows * c.in);
  for (size_t p = 0; p < c.parts.size(); ++p) {
    const std::string at = name + " " + std::to_string(p);
    const reference::LoraProjection twin = Projection(c, in, p, &parallel);
    reference::LoraProjection frozen = twin;
    frozen.rank = 0;
    frozen.bias.clear();
    const std::vector<double> dy = Gradient(c, in, p);
    std::vector<double> z, none, da, db;
    const std::vector<double> product = reference::LoraLinear(frozen, &none), y = reference::LoraLinear(twin, &z);
    std::vector<double> more = y;
    for (size_t i = 0; i < y.size(); ++i) more[i] -= product[i];
    IsNear(got.y[p], y, rounded(Sum(rounded(product), more)), at + " y");
    std::vector<double> own_dx(dx.size()), frozen_dx(dx.size());
    reference::LoraLinearGrad(frozen, dy, &frozen_dx, &none, &none);
    reference::LoraLinearGrad(twin, dy, &own_dx, &da, &db);
    more = own_dx;
    for (size_t i = 0; i < more.size(); ++i) more[i] -= frozen_dx[i];
    composed_dx = rounded(Sum(composed_dx, rounded(Sum(rounded(frozen_dx), more))));
    dx = Sum(dx, own_dx);
    check::IsNear(got.da[p], da, at + " da");
    check::IsNear(got.db[p], db, at + " db");
  }
  if (c.wants_dx) IsNear(got.dx, dx, composed_dx, name + " dx");
}

void TestCase(const Case& c, RocitDtype dtype) {
  const Inputs in(c, dtype);
  for (const int64_t shift : {0, 1}) {
    const std::string name = std::string("lora_linear ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + c.title +
                             (shift > 0 ? " not aligned" : "");
    const Results first = Run(c, in, shift, name);
    CompareWithComposed(c, in, first, name);
    if (c.rows * c.in > 20000 && (shift > 0 || dtype == ROCIT_FLOAT32)) continue;
    if (shift == 0) CheckAdded(in, first, Run(c, in, shift, name, true), name);
    device::InEachOrder([&](const std::string& order) {
      check::That(Run(c, in, shift, name) == first, name + " has the same bits with " + order);
    });
  }
}

}  // namespace

int main() {
  for (const Case& c : CudaCases()) {
    TestCase(c, ROCIT_FLOAT32);
    TestCase(c, ROCIT_BFLOAT16);
  }
  return check::Finish("lora_linear_cuda");
}
