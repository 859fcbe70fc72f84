// The float64 twin of tree_attention, from the formulas alone.
#ifndef ROCIT_REFERENCE_TREE_ATTENTION_H_
#define ROCIT_REFERENCE_TREE_ATTENTION_H_

#include <cmath>
#include <cstdint>
#include <vector>

namespace reference {

using Vector = std::vector<double>;

struct Attention {
  int64_t queries, keys, heads, key_heads, size, query_start;
  double scale;
  std::vector<int32_t> subtree_end;
  Vector q, k, v;

  // Visits each query head: row of q, key head, the keys that it sees, their weights and the log of their sum.
  template <class Body>
  void EachRow(const Body& body) const {
    for (int64_t i = 0; i < queries; ++i) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t row = i * heads + h, head = h / (heads / key_heads), token = query_start + i;
        std::vector<int64_t> seen;
        Vector weights;
        double top = -HUGE_VAL, total = 0;
        for (int64_t j = 0; j <= token; ++j) {
          if (token >= subtree_end[j]) continue;
          double score = 0;
          for (int64_t d = 0; d < size; ++d) score += q[row * size + d] * k[(j * key_heads + head) * size + d];
          seen.push_back(j);
          weights.push_back(score * scale);
          top = std::fmax(top, score * scale);
        }
        for (double& weight : weights) total += weight = std::exp(weight - top);
        for (double& weight : weights) weight /= total;
        body(row, head, seen, weights, top + std::log(total));
      }
    }
  }

  void Forward(Vector* out, Vector* lse) const {
    out->assign(q.size(), 0);
    lse->assign(queries * heads, 0);
    EachRow([&](int64_t row, int64_t head, const std::vector<int64_t>& seen, const Vector& weights, double log_sum) {
      (*lse)[row] = log_sum;
      for (size_t n = 0; n < seen.size(); ++n) {
        const int64_t key = (seen[n] * key_heads + head) * size;
        for (int64_t d = 0; d < size; ++d) (*out)[row * size + d] += weights[n] * v[key + d];
      }
    });
  }

  void Backward(const Vector& dout, Vector* dq, Vector* dk, Vector* dv) const {
    dq->assign(q.size(), 0);
    dk->assign(k.size(), 0);
    dv->assign(v.size(), 0);
    EachRow([&](int64_t row, int64_t head, const std::vector<int64_t>& seen, const Vector& weights, double) {
      Vector slope(seen.size(), 0.0);
      double mean = 0;
      for (size_t n = 0; n < seen.size(); ++n) {
        const int64_t key = (seen[n] * key_heads + head) * size;
        for (int64_t d = 0; d < size; ++d) slope[n] += dout[row * size + d] * v[key + d];
        mean += weights[n] * slope[n];
      }
      for (size_t n = 0; n < seen.size(); ++n) {
        const int64_t key = (seen[n] * key_heads + head) * size;
        const double ds = scale * weights[n] * (slope[n] - mean);
        for (int64_t d = 0; d < size; ++d) {
          (*dq)[row * size + d] += ds * k[key + d];
          (*dk)[key + d] += ds * q[row * size + d];
          (*dv)[key + d] += weights[n] * dout[row * size + d];
        }
      }
    });
  }
};

}  // namespace reference

#endif  // ROCIT_REFERENCE_TREE_ATTENTION_H_
