// The float64 twin of lora_linear, one projection at a time, from the formulas alone.
#ifndef ROCIT_REFERENCE_LORA_LINEAR_H_
#define ROCIT_REFERENCE_LORA_LINEAR_H_

#include <cstdint>
#include <vector>

namespace reference {

struct LoraProjection {
  int64_t rows, in, out, rank;
  std::vector<double> x, weight, bias, a, b, mask;  // bias empty: none; mask [rows, in]
  double scaling;
};

// y[n][o] = bias[o] + sum_i x[n][i] weight[o][i] + scaling sum_r (sum_i mask[n][i] x[n][i] a[r][i]) b[o][r]
inline std::vector<double> LoraLinear(const LoraProjection& p, std::vector<double>* z) {
  std::vector<double> y(p.rows * p.out);
  z->assign(p.rows * p.rank, 0);
  for (int64_t n = 0; n < p.rows; ++n) {
    for (int64_t r = 0; r < p.rank; ++r) {
      for (int64_t i = 0; i < p.in; ++i) {
        (*z)[n * p.rank + r] += p.mask[n * p.in + i] * p.x[n * p.in + i] * p.a[r * p.in + i];
      }
    }
    for (int64_t o = 0; o < p.out; ++o) {
      double total = p.bias.empty() ? 0 : p.bias[o];
      for (int64_t i = 0; i < p.in; ++i) total += p.x[n * p.in + i] * p.weight[o * p.in + i];
      for (int64_t r = 0; r < p.rank; ++r) total += p.scaling * (*z)[n * p.rank + r] * p.b[o * p.rank + r];
      y[n * p.out + o] = total;
    }
  }
  return y;
}

// dx[n][i] += sum_o dy[n][o] (weight[o][i] + scaling mask[n][i] sum_r b[o][r] a[r][i]); da and db likewise
inline void LoraLinearGrad(const LoraProjection& p, const std::vector<double>& dy, std::vector<double>* dx,
                           std::vector<double>* da, std::vector<double>* db) {
  std::vector<double> z;
  LoraLinear(p, &z);
  da->assign(p.rank * p.in, 0);
  db->assign(p.out * p.rank, 0);
  for (int64_t n = 0; n < p.rows; ++n) {
    for (int64_t o = 0; o < p.out; ++o) {
      const double g = dy[n * p.out + o];
      for (int64_t i = 0; i < p.in; ++i) (*dx)[n * p.in + i] += g * p.weight[o * p.in + i];
      for (int64_t r = 0; r < p.rank; ++r) {
        (*db)[o * p.rank + r] += p.scaling * g * z[n * p.rank + r];
        for (int64_t i = 0; i < p.in; ++i) {
          const double through = p.scaling * g * p.b[o * p.rank + r] * p.mask[n * p.in + i];
          (*dx)[n * p.in + i] += through * p.a[r * p.in + i];
          (*da)[r * p.in + i] += through * p.x[n * p.in + i];
        }
      }
    }
  }
}

}  // namespace reference

#endif  // ROCIT_REFERENCE_LORA_LINEAR_H_
