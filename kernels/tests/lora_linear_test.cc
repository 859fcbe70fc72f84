// lora_linear forward and backward: against the float64 twin, on every vector path, with 1 to 4 threads; bias, dropout,
// several projections, gradients that are missing or not wanted.
#include "cases/lora_linear.h"

namespace {

using namespace lora_linear;

Results Run(const Case& c, RocitDtype dtype, Tensors t, int threads) {
  int64_t total = 0;
  for (const Part& part : c.parts) total += part.rank;
  Results got = {{}, {}, {}, Values(ROCIT_FLOAT32, c.rows * total), Values(dtype, c.wants_dx ? c.rows * c.in : 0)};
  std::vector<RocitLoraProjection> projections;
  for (size_t p = 0; p < c.parts.size(); ++p) {
    const Part& part = c.parts[p];
    got.y.emplace_back(dtype, c.rows * part.out);
    got.da.emplace_back(ROCIT_FLOAT32, part.rank * c.in);
    got.db.emplace_back(ROCIT_FLOAT32, part.out * part.rank);
    projections.push_back({part.out, part.rank, t.weight[p].data(), part.has_bias ? t.bias[p].data() : nullptr,
                           static_cast<float*>(t.a[p].data()), static_cast<float*>(t.b[p].data()), part.scaling,
                           part.dropout, SeedOf(p)});
  }
  std::vector<void*> y;
  std::vector<const void*> dy;
  std::vector<float*> da, db;
  for (size_t p = 0; p < c.parts.size(); ++p) {
    y.push_back(got.y[p].data());
    dy.push_back(c.parts[p].has_dy ? t.dy[p].data() : nullptr);
    da.push_back(static_cast<float*>(got.da[p].data()));
    db.push_back(static_cast<float*>(got.db[p].data()));
  }
  check::Threads pool(threads);
  const RocitParallel parallel = pool.contract();
  const int64_t count = static_cast<int64_t>(projections.size());
  float* z = static_cast<float*>(got.z.data());
  const RocitLoraLinearArgs forward = {dtype, c.rows, c.in, count, projections.data(), t.x.data(), y.data(), z};
  rocit_lora_linear(&forward, &parallel);
  const RocitLoraLinearGradArgs backward = {dtype,     c.rows, c.in, count, projections.data(), t.x.data(), z,
                                            dy.data(), c.wants_dx ? got.dx.data() : nullptr, da.data(), db.data()};
  rocit_lora_linear_grad(&backward, &parallel);
  return got;
}

void CompareWithTwin(const Case& c, const Tensors& t, const Results& got, const std::string& name) {
  check::Threads pool(1);
  const RocitParallel parallel = pool.contract();
  std::vector<double> dx(c.rows * c.in);
  for (size_t p = 0; p < c.parts.size(); ++p) {
    const std::string at = name + " " + std::to_string(p);
    const reference::LoraProjection twin = Twin(c, t, p, &parallel);
    std::vector<double> z, da, db, dy = t.dy[p].Doubles();
    check::IsNear(got.y[p], reference::LoraLinear(twin, &z), at + " y");
    if (!c.parts[p].has_dy) dy.assign(dy.size(), 0);
    reference::LoraLinearGrad(twin, dy, &dx, &da, &db);
    check::IsNear(got.da[p], da, at + " da");
    check::IsNear(got.db[p], db, at + " db");
  }
  if (c.wants_dx) check::IsNear(got.dx, dx, name + " dx");
}

void TestCase(const Case& c, RocitDtype dtype) {
  const Tensors t(c, dtype);
  const std::string title = std::string("lora_linear ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + c.title;
  check::OnEachPath(title, [&](const std::string& name) {
    const Results one = Run(c, dtype, t, 1);
    CompareWithTwin(c, t, one, name);
    bool is_same = true;
    for (int threads = 2; threads <= 4; ++threads) is_same = is_same && Run(c, dtype, t, threads) == one;
    check::That(is_same, name + " does not depend on the number of threads");
  });
}

// The share that is kept, the factor of what is kept, and masks that differ by seed and agree on all paths.
void TestMask() {
  check::Threads pool(2);
  const RocitParallel parallel = pool.contract();
  const int64_t rows = 64, in = 50;
  for (const float dropout : {0.1f, 0.5f, 0.9f}) {
    const Part part = {in, in, false, 1, dropout, true};
    const std::vector<double> first = Mask(rows, in, part, 0, &parallel), other = Mask(rows, in, part, 1, &parallel);
    double kept = 0, is_scaled = 1;
    for (const double factor : first) {
      kept += factor != 0;
      if (factor != 0) is_scaled = is_scaled && std::fabs(factor * (1 - dropout) - 1) < 1e-6;
    }
    const std::string name = "lora_linear mask of " + std::to_string(dropout);
    check::That(is_scaled, name + " scales what it keeps");
    check::That(std::fabs(kept / static_cast<double>(rows * in) - (1 - dropout)) < 0.053, name + " keeps its share");
    check::That(first != other, name + " depends on the seed");
    check::OnEachPath(name, [&](const std::string& path) {
      check::That(Mask(rows, in, part, 0, &parallel) == first, path + " is that of all paths");
    });
  }
}

}  // namespace

int main() {
  TestMask();
  for (const Case& c : Cases()) {
    TestCase(c, ROCIT_FLOAT32);
    TestCase(c, ROCIT_BFLOAT16);
  }
  return check::Finish("lora_linear");
}
