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

// z[n][r] = sum_i mask[n][i] x[n][i] a[r][i]
inline std::vector<double> LoraZ(const LoraProjection& p) {
  std::vector<double> z;
  for (int64_t n = 0; n < p.rows; ++n) {
    for (int64_t r = 0; r < p.rank; ++r) {
      double total = 0;
      for (int64_t i = 0; i < p.in; ++i) total += p.mask[n * p.in + i] * p.x[n * p.in + i] * p.a[r * p.in + i];
      z.push_back(total);
    }
  }
  return z;
}

// y[n][o] = bias[o] + sum_i x[n][i] weight[o][i] + scaling sum_r z[n][r] b[o][r]
inline std::vector<double> LoraLinear(const LoraProjection& p, std::vector<double>* z) {
  std::vector<double> y(p.rows * p.out);
  *z = LoraZ(p);
  for (int64_t n = 0; n < p.rows; ++n) {
    for (int64_t o = 0; o < p.out; ++o) {
      double total = p.bias.empty() ? 0 : p.bias[o];
      for (int64_t i = 0; i < p.in; ++i) total += p.x[n * p.in + i] * p.weight[o * p.in + i];
      for (int64_t r = 0; r < p.rank; ++r) total += p.scaling * (*z)[n * p.rank + r] * p.b[o * p.rank + r];
      y[n * p.out + o] = total;
    }
  }
  return y;
}

// dz[n][r] = scaling sum_o dy[n][o] b[o][r]
inline std::vector<double> LoraDz(const LoraProjection& p, const std::vector<double>& dy) {
  std::vector<double> dz(p.rows * p.rank);
  for (int64_t n = 0; n < p.rows; ++n) {
    for (int64_t o = 0; o < p.out; ++o) {
      for (int64_t r = 0; r < p.rank; ++r) dz[n * p.rank + r] += p.scaling * dy[n * p.out + o] * p.b[o * p.rank + r];
    }
  }
  return dz;
}

// dx[n][i] += sum_o dy[n][o] weight[o][i] + mask[n][i] sum_r dz[n][r] a[r][i]
inline void LoraDx(const LoraProjection& p, const std::vector<double>& dy, const std::vector<double>& dz,
                   std::vector<double>* dx) {
  for (int64_t n = 0; n < p.rows; ++n) {
    for (int64_t o = 0; o < p.out; ++o) {
      for (int64_t i = 0; i < p.in; ++i) (*dx)[n * p.in + i] += dy[n * p.out + o] * p.weight[o * p.in + i];
    }
    for (int64_t r = 0; r < p.rank; ++r) {
      for (int64_t i = 0; i < p.in; ++i) {
        (*dx)[n * p.in + i] += p.mask[n * p.in + i] * dz[n * p.rank + r] * p.a[r * p.in + i];
      }
    }
  }
}

// da[r][i] = sum_n dz[n][r] mask[n][i] x[n][i]
inline std::vector<double> LoraDa(const LoraProjection& p, const std::vector<double>& dz) {
  std::vector<double> da(p.rank * p.in);
  for (int64_t n = 0; n < p.rows; ++n) {
    for (int64_t r = 0; r < p.rank; ++r) {
      for (int64_t i = 0; i < p.in; ++i) {
        da[r * p.in + i] += dz[n * p.rank + r] * p.mask[n * p.in + i] * p.x[n * p.in + i];
      }
    }
  }
  return da;
}

// db[o][r] = scaling sum_n dy[n][o] z[n][r]
inline std::vector<double> LoraDb(const LoraProjection& p, const std::vector<double>& dy,
                                  const std::vector<double>& z) {
  std::vector<double> db(p.out * p.rank);
  for (int64_t n = 0; n < p.rows; ++n) {
    for (int64_t o = 0; o < p.out; ++o) {
      for (int64_t r = 0; r < p.rank; ++r) db[o * p.rank + r] += p.scaling * dy[n * p.out + o] * z[n * p.rank + r];
    }
  }
  return db;
}

inline void LoraLinearGrad(const LoraProjection& p, const std::vector<double>& dy, std::vector<double>* dx,
                           std::vector<double>* da, std::vector<double>* db) {
  const std::vector<double> dz = LoraDz(p, dy);
  LoraDx(p, dy, dz, dx);
  *da = LoraDa(p, dz);
  *db = LoraDb(p, dy, LoraZ(p));
}

}  // namespace reference

#endif  // ROCIT_REFERENCE_LORA_LINEAR_H_
