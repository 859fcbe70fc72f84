// The float64 twin of linear_cross_entropy, edge by edge, from the formula alone.
#ifndef ROCIT_REFERENCE_LINEAR_CROSS_ENTROPY_H_
#define ROCIT_REFERENCE_LINEAR_CROSS_ENTROPY_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace reference {

// edge_losses[e] = log sum_v exp(l_v) - l_target with l_v = sum_c x[row][c] weight[v][c]; adds each edge's share to dx.
inline std::vector<double> LinearCrossEntropy(int64_t hidden, int64_t vocab, const std::vector<double>& x,
                                              const std::vector<double>& weight, const std::vector<int32_t>& rows,
                                              const std::vector<int32_t>& targets, const std::vector<float>& weights,
                                              std::vector<double>* dx) {
  std::vector<double> losses;
  for (size_t e = 0; e < rows.size(); ++e) {
    std::vector<double> logits(vocab);
    for (int64_t v = 0; v < vocab; ++v) {
      for (int64_t c = 0; c < hidden; ++c) logits[v] += x[rows[e] * hidden + c] * weight[v * hidden + c];
    }
    const double largest = *std::max_element(logits.begin(), logits.end());
    double total = 0;
    for (const double logit : logits) total += std::exp(logit - largest);
    losses.push_back(std::log(total) - (logits[targets[e]] - largest));
    for (int64_t v = 0; v < vocab; ++v) {
      const double slope = std::exp(logits[v] - largest) / total - (v == targets[e] ? 1 : 0);
      for (int64_t c = 0; c < hidden; ++c) (*dx)[rows[e] * hidden + c] += weights[e] * slope * weight[v * hidden + c];
    }
  }
  return losses;
}

}  // namespace reference

#endif  // ROCIT_REFERENCE_LINEAR_CROSS_ENTROPY_H_
