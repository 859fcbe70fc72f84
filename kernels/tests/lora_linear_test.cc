// lora_linear forward and backward: against the float64 twin, on every vector path, with 1 to 4 threads; bias, dropout,
// several projections, gradients that are missing or not wanted.
#include "lora_linear.h"

#include "check.h"
#include "reference/lora_linear.h"

namespace {

using check::Values;

struct Part {
  int64_t out, rank;
  bool has_bias;
  float scaling, dropout;
  bool has_dy;
};

struct Case {
  const char* title;
  int64_t rows, in;
  std::vector<Part> parts;
  bool wants_dx;
};

std::vector<Case> Cases() {
  return {
      {"plain", 5, 123, {{77, 0, false, 1, 0, true}}, true},
      {"plain with bias", 17, 12, {{7, 0, true, 1, 0, true}}, true},
      {"adapter", 5, 123, {{77, 4, false, 2, 0, true}}, true},
      {"rank 16 with bias", 150, 33, {{130, 16, true, 0.5f, 0, true}}, true},
      {"one row", 1, 9, {{1, 1, false, 1, 0, true}}, true},
      {"no row", 0, 8, {{6, 2, true, 1, 0, true}}, true},
      {"q, k, v", 30, 36, {{36, 16, false, 2, 0, true}, {12, 16, false, 2, 0, true}, {12, 16, false, 2, 0, true}}, true},
      {"a mixture", 9, 10, {{5, 2, true, 1, 0, true}, {3, 0, false, 1, 0, true}, {8, 3, false, 3, 0, true}}, true},
      {"frozen input", 9, 10, {{5, 2, false, 1, 0, true}, {3, 0, false, 1, 0, true}}, false},
      {"a gradient that is missing", 9, 10, {{5, 2, false, 1, 0, false}, {3, 2, false, 1, 0, true}}, true},
      {"no gradient", 9, 10, {{5, 2, false, 1, 0, false}}, true},
      {"dropout", 31, 45, {{9, 3, false, 2, 0.3f, true}}, true},
      {"two dropouts", 14, 45, {{9, 3, true, 2, 0.5f, true}, {20, 0, false, 1, 0, true}, {4, 5, false, 1, 0.9f, true}}, true},
      {"dropout beside none", 14, 40, {{9, 3, true, 2, 0.5f, true}, {4, 5, false, 1, 0, true}}, true},
      {"high rank", 3, 4, {{5, 61, false, 0.25f, 0, true}}, true},
  };
}

uint64_t SeedOf(size_t p) { return 1000 + 7 * p; }

// What the kernel multiplies x by: with W = 0, A = B = 1 and x = 1, y is the mask.
std::vector<double> Mask(int64_t rows, int64_t in, const Part& part, size_t p, const RocitParallel* parallel) {
  std::vector<float> x(rows * in, 1), weight(in * in), eye(in * in), y(rows * in), z(rows * in);
  for (int64_t i = 0; i < in; ++i) eye[i * in + i] = 1;
  const RocitLoraProjection one = {in, in, weight.data(), nullptr, eye.data(), eye.data(), 1, part.dropout, SeedOf(p)};
  void* to = y.data();
  const RocitLoraLinearArgs args = {ROCIT_FLOAT32, rows, in, 1, &one, x.data(), &to, z.data()};
  rocit_lora_linear(&args, parallel);
  return std::vector<double>(y.begin(), y.end());
}

struct Tensors {
  std::vector<Values> weight, bias, a, b, dy;
  Values x;
  Tensors(const Case& c, RocitDtype dtype) : x(dtype, 0) {
    check::Random random(c.rows * 31 + c.in);
    x = check::RandomValues(dtype, c.rows * c.in, &random);
    for (const Part& part : c.parts) {
      weight.push_back(check::RandomValues(dtype, part.out * c.in, &random, 0.3));
      bias.push_back(check::RandomValues(dtype, part.out, &random));
      a.push_back(check::RandomValues(ROCIT_FLOAT32, part.rank * c.in, &random));
      b.push_back(check::RandomValues(ROCIT_FLOAT32, part.out * part.rank, &random));
      dy.push_back(check::RandomValues(dtype, c.rows * part.out, &random));
    }
  }
};

struct Results {
  std::vector<Values> y, da, db;
  Values z, dx;
  bool operator==(const Results& other) const {
    const auto same = [](const std::vector<Values>& a, const std::vector<Values>& b) {
      bool is_same = true;
      for (size_t i = 0; i < a.size(); ++i) is_same = is_same && a[i].bytes == b[i].bytes;
      return is_same;
    };
    return same(y, other.y) && same(da, other.da) && same(db, other.db) && z.bytes == other.z.bytes &&
           dx.bytes == other.dx.bytes;
  }
};

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

reference::LoraProjection Twin(const Case& c, const Tensors& t, size_t p, const RocitParallel* parallel) {
  const Part& part = c.parts[p];
  const std::vector<double> ones(c.rows * c.in, 1.0);
  return {c.rows, c.in, part.out, part.rank, t.x.Doubles(), t.weight[p].Doubles(),
          part.has_bias ? t.bias[p].Doubles() : std::vector<double>(), t.a[p].Doubles(), t.b[p].Doubles(),
          part.dropout > 0 ? Mask(c.rows, c.in, part, p, parallel) : ones, part.scaling};
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
