// Cases of rms_norm, their inputs and the comparison with the float64 twin, for every implementation.
#ifndef ROCIT_TESTS_CASES_RMS_NORM_H_
#define ROCIT_TESTS_CASES_RMS_NORM_H_

#include <rms_norm.h>  // the contract: this file bears its name

#include "check.h"
#include "reference/rms_norm.h"

namespace rms_norm {

using check::Values;

struct Case {
  RocitDtype dtype;
  int64_t rows, columns;
  bool has_residual;

  std::string Name() const {
    return std::string("rms_norm ") + (dtype == ROCIT_FLOAT32 ? "float32 " : "bfloat16 ") + std::to_string(rows) + "x" +
           std::to_string(columns) + (has_residual ? " with residual" : "");
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

struct Inputs {
  Values x, residual, weight, dy, dsum;

  explicit Inputs(const Case& c) : Inputs(c, check::Random(c.rows * 1000 + c.columns)) {}

 private:
  Inputs(const Case& c, check::Random random)
      : x(check::RandomValues(c.dtype, c.rows * c.columns, &random, 3)),
        residual(check::RandomValues(c.dtype, c.rows * c.columns, &random)),
        weight(check::RandomValues(c.dtype, c.columns, &random)),
        dy(check::RandomValues(c.dtype, c.rows * c.columns, &random)),
        dsum(check::RandomValues(c.dtype, c.rows * c.columns, &random)) {}
};

struct Outputs {
  Values y, sum, rstd, dx;
  bool operator==(const Outputs& other) const {
    return y.bytes == other.y.bytes && sum.bytes == other.sum.bytes && rstd.bytes == other.rstd.bytes &&
           dx.bytes == other.dx.bytes;
  }
};

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
  const std::vector<double> y = reference::RmsNorm(s, weight, 1e-5, &rstd);
  const std::vector<double> dsum = c.has_residual ? in.dsum.Doubles() : std::vector<double>();
  check::IsNear(got.y, y, name + " y");
  if (c.columns > 0) check::IsNear(got.rstd, rstd, name + " rstd");
  // The gradient of one column is zero but for eps.
  const double addend = c.columns == 1 ? std::fabs(in.dy.Get(0) * weight[0] * rstd[0]) : 0;
  const std::vector<double> dx = reference::RmsNormGrad(in.dy.Doubles(), dsum, s, weight, rstd);
  check::IsNear(got.dx, dx, name + " dx", addend);
}

}  // namespace rms_norm

#endif  // ROCIT_TESTS_CASES_RMS_NORM_H_
