// Cases of rms_norm, their tensors and the comparison with the float64 twin, for every implementation.
#ifndef ROCIT_TESTS_CASES_RMS_NORM_H_
#define ROCIT_TESTS_CASES_RMS_NORM_H_

#include <rms_norm.h>  // the contract: this file bears its name

#include "cases/compare.h"
#include "cases/memory.h"
#include "cases/timed.h"
#include "reference/rms_norm.h"

namespace rms_norm {

using check::Values;

struct Case {
  RocitDtype dtype;
  int64_t rows, columns;
  bool has_residual;

  int64_t size() const { return rows * columns; }
  std::string Shape() const { return std::to_string(rows) + "x" + std::to_string(columns); }
  std::string Name() const {
    return std::string("rms_norm ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + Shape() +
           (has_residual ? " with residual" : "");
  }
};

inline std::vector<Case> Cases() {
  const int64_t shapes[][2] = {{5, 123}, {1, 1},  {1, 576}, {3, 16},  {2, 17}, {4, 15},
                               {7, 64},  {2, 65}, {9, 200}, {0, 123}, {3, 0},  {2, 2048}};
  std::vector<Case> cases;
  for (const RocitDtype dtype : {ROCIT_FLOAT32, ROCIT_BFLOAT16}) {
    for (const auto& shape : shapes) {
      for (const bool has_residual : {false, true}) cases.push_back({dtype, shape[0], shape[1], has_residual});
    }
  }
  return cases;
}

inline cases::Timed<Case> TimedCases(RocitDtype dtype) {
  const Case smollm = {dtype, 2048, 576, true}, llama = {dtype, 4096, 4096, true};
  return {{smollm, llama}, {llama, smollm}, {{dtype, 9, 200, true}}};
}

struct Inputs {
  Values x, residual, weight, dy, dsum;

  explicit Inputs(const Case& c) : Inputs(c, check::Random(c.rows * 1000 + c.columns)) {}

 private:
  Inputs(const Case& c, check::Random random)
      : x(check::RandomValues(c.dtype, c.size(), &random, 3)),
        residual(check::RandomValues(c.dtype, c.size(), &random)),
        weight(check::RandomValues(c.dtype, c.columns, &random)),
        dy(check::RandomValues(c.dtype, c.size(), &random)),
        dsum(check::RandomValues(c.dtype, c.size(), &random)) {}
};

struct Outputs {
  Values y, sum, rstd, dx;
  bool operator==(const Outputs& other) const {
    return y.bytes == other.y.bytes && sum.bytes == other.sum.bytes && rstd.bytes == other.rstd.bytes &&
           dx.bytes == other.dx.bytes;
  }
};

template <class Memory>
struct Tensors {
  Case c;
  typename Memory::Tensor x, residual, weight, dy, dsum, y, sum, rstd, dx;

  // `shift`: as device::Tensor takes it.
  template <class... Shift>
  Tensors(const Case& of, const Inputs& in, Shift... shift)
      : c(of), x(in.x, shift...), residual(in.residual, shift...), weight(in.weight, shift...), dy(in.dy, shift...),
        dsum(in.dsum, shift...), y(c.dtype, c.size(), shift...), sum(c.dtype, c.size(), shift...),
        rstd(ROCIT_FLOAT32, c.rows), dx(c.dtype, c.size(), shift...) {}
  RocitRmsNormArgs Forward() {
    return {c.dtype,       c.rows,   c.columns, 1e-5f, x.data(), c.has_residual ? residual.data() : nullptr,
            weight.data(), y.data(), c.has_residual ? sum.data() : nullptr, cases::Floats(rstd)};
  }
  RocitRmsNormGradArgs Backward() {
    return {c.dtype,       c.rows, c.columns, dy.data(), c.has_residual ? dsum.data() : nullptr,
            c.has_residual ? sum.data() : x.data(), weight.data(), cases::Floats(rstd), dx.data()};
  }
  Outputs Read() {
    return {Memory::Read(y), c.has_residual ? Memory::Read(sum) : Values(c.dtype, 0), Memory::Read(rstd),
            Memory::Read(dx)};
  }
};

// The twin's gradient takes the square of the columns: where that is much, of some rows.
inline void CompareWithTwin(const Case& c, const Inputs& in, const Outputs& got, const std::string& name) {
  std::vector<double> s = in.x.Doubles();
  if (c.has_residual) {
    for (size_t i = 0; i < s.size(); ++i) s[i] += in.residual.Get(i);
    const Values rounded(c.dtype, s);
    check::That(got.sum.bytes == rounded.bytes, name + " sum is the rounded sum");
    s = rounded.Doubles();
  }
  std::vector<double> rstd(c.rows);
  const std::vector<double> weight = in.weight.Doubles();
  check::IsNear(got.y, reference::RmsNorm(s, weight, 1e-5, &rstd), name + " y");
  if (c.columns > 0) check::IsNear(got.rstd, rstd, name + " rstd");
  const cases::Rows rows = cases::Affordable(c.rows, static_cast<double>(c.columns * c.columns));
  std::vector<double> dx(rows.size() * c.columns);
  cases::InParallel(static_cast<int64_t>(rows.size()), [&](int64_t i) {
    const auto at = [&](const Values& values) { return cases::Pick(values, c.columns, {rows[i]}).Doubles(); };
    const auto start = s.begin() + rows[i] * c.columns;
    const std::vector<double> sum(start, start + c.columns);
    const std::vector<double> dsum = c.has_residual ? at(in.dsum) : std::vector<double>();
    const std::vector<double> row = reference::RmsNormGrad(at(in.dy), dsum, sum, weight, {rstd[rows[i]]});
    std::copy(row.begin(), row.end(), dx.begin() + i * c.columns);
  });
  // The gradient of one column is zero but for eps.
  const double addend = c.columns == 1 ? std::fabs(in.dy.Get(0) * weight[0] * rstd[0]) : 0;
  check::IsNear(cases::Pick(got.dx, c.columns, rows), dx, name + " dx", addend);
}

}  // namespace rms_norm

#endif  // ROCIT_TESTS_CASES_RMS_NORM_H_
