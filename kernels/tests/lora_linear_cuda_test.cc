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

struct Buffers {
  std::vector<device::Tensor> weight, bias, a, b, dy, y, da, db;
  device::Tensor x, z, dx;
  std::vector<RocitLoraProjection> projections;
  std::vector<void*> y_data;
  std::vector<const void*> dy_data;
  std::vector<float*> da_data, db_data;

  Buffers(const Case& c, RocitDtype dtype, const Tensors& t, int64_t shift, int64_t total)
      : x(t.x, shift), z(ROCIT_FLOAT32, c.rows * total, shift), dx(dtype, c.rows * c.in, shift) {
    for (size_t p = 0; p < c.parts.size(); ++p) {
      const Part& part = c.parts[p];
      weight.emplace_back(t.weight[p], shift);
      bias.emplace_back(t.bias[p], shift);
      a.emplace_back(t.a[p], shift);
      b.emplace_back(t.b[p], shift);
      dy.emplace_back(t.dy[p], shift);
      y.emplace_back(dtype, c.rows * part.out, shift);
      da.emplace_back(ROCIT_FLOAT32, part.rank * c.in, shift);
      db.emplace_back(ROCIT_FLOAT32, part.out * part.rank, shift);
      projections.push_back({part.out, part.rank, weight[p].data(), part.has_bias ? bias[p].data() : nullptr, a[p].floats(),
                             b[p].floats(), part.scaling, part.dropout, SeedOf(p)});
      y_data.push_back(y[p].data());
      dy_data.push_back(part.has_dy ? dy[p].data() : nullptr);
      da_data.push_back(da[p].floats());
      db_data.push_back(db[p].floats());
    }
  }
};

Results Run(const Case& c, RocitDtype dtype, const Tensors& t, int64_t shift, const std::string& name) {
  int64_t total = 0;
  for (const Part& part : c.parts) total += part.rank;
  Buffers on(c, dtype, t, shift, total);
  const int64_t count = static_cast<int64_t>(c.parts.size());
  const RocitLoraLinearArgs forward = {dtype,       c.rows,           c.in,          count, on.projections.data(),
                                       on.x.data(), on.y_data.data(), on.z.floats()};
  device::Memory forward_space(static_cast<size_t>(rocit_lora_linear_cuda_workspace(&forward)));
  const RocitCuda forward_cuda = device::Cuda(forward_space.data());
  device::IsDone(rocit_lora_linear_cuda(&forward, &forward_cuda), name + " forward");
  const RocitLoraLinearGradArgs backward = {dtype, c.rows, c.in, count, on.projections.data(), on.x.data(), on.z.floats(),
                                            on.dy_data.data(), c.wants_dx ? on.dx.data() : nullptr, on.da_data.data(),
                                            on.db_data.data()};
  device::Memory backward_space(static_cast<size_t>(rocit_lora_linear_grad_cuda_workspace(&backward)));
  const RocitCuda backward_cuda = device::Cuda(backward_space.data());
  device::IsDone(rocit_lora_linear_grad_cuda(&backward, &backward_cuda), name + " backward");
  Results got = {{}, {}, {}, on.z.Read(), c.wants_dx ? on.dx.Read() : Values(dtype, 0)};
  for (size_t p = 0; p < c.parts.size(); ++p) {
    got.y.push_back(on.y[p].Read());
    got.da.push_back(on.da[p].Read());
    got.db.push_back(on.db[p].Read());
  }
  return got;
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

void CompareWithTwin(const Case& c, RocitDtype dtype, const Tensors& t, const Results& got, const std::string& name) {
  check::Threads pool(1);
  const RocitParallel parallel = pool.contract();
  const auto rounded = [&](const std::vector<double>& values) { return Values(dtype, values).Doubles(); };
  std::vector<double> dx(c.rows * c.in), composed_dx(c.rows * c.in);
  for (size_t p = 0; p < c.parts.size(); ++p) {
    const std::string at = name + " " + std::to_string(p);
    const reference::LoraProjection twin = Twin(c, t, p, &parallel);
    reference::LoraProjection frozen = twin;
    frozen.rank = 0;
    frozen.bias.clear();
    std::vector<double> z, none, da, db, dy = t.dy[p].Doubles();
    const std::vector<double> product = reference::LoraLinear(frozen, &none), y = reference::LoraLinear(twin, &z);
    std::vector<double> more = y;
    for (size_t i = 0; i < y.size(); ++i) more[i] -= product[i];
    IsNear(got.y[p], y, rounded(Sum(rounded(product), more)), at + " y");
    if (!c.parts[p].has_dy) dy.assign(dy.size(), 0);
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
  const Tensors t(c, dtype);
  for (const int64_t shift : {0, 1}) {
    const std::string name = std::string("lora_linear ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + c.title +
                             (shift > 0 ? " not aligned" : "");
    const Results first = Run(c, dtype, t, shift, name);
    CompareWithTwin(c, dtype, t, first, name);
    if (c.rows * c.in > 20000 && (shift > 0 || dtype == ROCIT_FLOAT32)) continue;
    device::InEachOrder([&](const std::string& order) {
      check::That(Run(c, dtype, t, shift, name) == first, name + " has the same bits with " + order);
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
