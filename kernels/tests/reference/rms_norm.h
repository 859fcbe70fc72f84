// The float64 twin of rms_norm, from the formulas alone.
#ifndef ROCIT_REFERENCE_RMS_NORM_H_
#define ROCIT_REFERENCE_RMS_NORM_H_

#include <cmath>
#include <vector>

namespace reference {

using Vector = std::vector<double>;

// y[n][c] = s[n][c] * weight[c] / sqrt(mean_c s^2 + eps)
inline Vector RmsNorm(const Vector& s, const Vector& weight, double eps, Vector* rstd) {
  const size_t columns = weight.size();
  Vector y(s.size());
  for (size_t n = 0; n < rstd->size(); ++n) {
    double squares = 0;
    for (size_t c = 0; c < columns; ++c) squares += s[n * columns + c] * s[n * columns + c];
    (*rstd)[n] = 1 / std::sqrt(squares / static_cast<double>(columns) + eps);
    for (size_t c = 0; c < columns; ++c) y[n * columns + c] = s[n * columns + c] * (*rstd)[n] * weight[c];
  }
  return y;
}

// dx[n][i] = dsum[n][i] + sum_c dy[n][c] weight[c] d(s_c rstd)/ds_i, with d(s_c rstd)/ds_i = [c = i] rstd - s_c s_i rstd^3 / C
inline Vector RmsNormGrad(const Vector& dy, const Vector& dsum, const Vector& s, const Vector& weight, const Vector& rstd) {
  const size_t columns = weight.size();
  Vector dx(dy.size());
  for (size_t n = 0; n < rstd.size(); ++n) {
    for (size_t i = 0; i < columns; ++i) {
      double total = dsum.empty() ? 0 : dsum[n * columns + i];
      for (size_t c = 0; c < columns; ++c) {
        const double cube = rstd[n] * rstd[n] * rstd[n] / static_cast<double>(columns);
        const double slope = (c == i ? rstd[n] : 0) - s[n * columns + c] * s[n * columns + i] * cube;
        total += dy[n * columns + c] * weight[c] * slope;
      }
      dx[n * columns + i] = total;
    }
  }
  return dx;
}

}  // namespace reference

#endif  // ROCIT_REFERENCE_RMS_NORM_H_
