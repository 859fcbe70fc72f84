// The float64 twin of gemm, from the formula alone.
#ifndef ROCIT_REFERENCE_GEMM_H_
#define ROCIT_REFERENCE_GEMM_H_

#include <cstdint>
#include <vector>

namespace reference {

// c[i][j] + sum_l a[i][l] b[l][j], with a [m, k] and b [k, n], or transposed in memory.
inline std::vector<double> Gemm(int64_t m, int64_t n, int64_t k, const std::vector<double>& a, bool a_transposed,
                                const std::vector<double>& b, bool b_transposed, std::vector<double> c) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t l = 0; l < k; ++l) {
        c[i * n + j] += (a_transposed ? a[l * m + i] : a[i * k + l]) * (b_transposed ? b[j * k + l] : b[l * n + j]);
      }
    }
  }
  return c;
}

}  // namespace reference

#endif  // ROCIT_REFERENCE_GEMM_H_
