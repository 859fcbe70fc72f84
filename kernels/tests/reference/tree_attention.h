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

  // Visits each query head: row of q, key head, and its weights over all keys, zero where unseen.
  template <class Body>
  void EachRow(const Body& body) const {
    for (int64_t i = 0; i < queries; ++i) {
      for (int64_t h = 0; h < heads; ++h) {
        const int64_t row = i * heads + h, head = h / (heads / key_heads), token = query_start + i;
        Vector weights(keys, 0.0);
        double top = -HUGE_VAL, total = 0;
        for (int64_t pass = 0; pass < 2; ++pass) {
          for (int64_t j = 0; j <= token; ++j) {
            if (token >= subtree_end[j]) continue;
            double score = 0;
            for (int64_t d = 0; d < size; ++d) score += q[row * size + d] * k[(j * key_heads + head) * size + d];
            if (pass == 0) top = std::fmax(top, score * scale);
            else total += weights[j] = std::exp(score * scale - top);
          }
        }
        for (double& weight : weights) weight /= total;
        body(row, head, weights, top + std::log(total));
      }
    }
  }

  void Forward(Vector* out, Vector* lse) const {
    out->assign(q.size(), 0);
    lse->assign(queries * heads, 0);
    EachRow([&](int64_t row, int64_t head, const Vector& weights, double log_sum) {
      (*lse)[row] = log_sum;
      for (int64_t j = 0; j < keys; ++j) {
        for (int64_t d = 0; d < size; ++d) (*out)[row * size + d] += weights[j] * v[(j * key_heads + head) * size + d];
      }
    });
  }

  void Backward(const Vector& dout, Vector* dq, Vector* dk, Vector* dv) const {
    dq->assign(q.size(), 0);
    dk->assign(k.size(), 0);
    dv->assign(v.size(), 0);
    EachRow([&](int64_t row, int64_t head, const Vector& weights, double) {
      Vector slope(keys, 0.0);
      double mean = 0;
      for (int64_t j = 0; j < keys; ++j) {
        for (int64_t d = 0; d < size; ++d) slope[j] += dout[row * size + d] * v[(j * key_heads + head) * size + d];
        mean += weights[j] * slope[j];
      }
      for (int64_t j = 0; j < keys; ++j) {
        const double ds = scale * weights[j] * (slope[j] - mean);
        for (int64_t d = 0; d < size; ++d) {
          const int64_t key = (j * key_heads + head) * size + d;
          (*dq)[row * size + d] += ds * k[key];
          (*dk)[key] += ds * q[row * size + d];
          (*dv)[key] += weights[j] * dout[row * size + d];
        }
      }
    });
  }
};

}  // namespace reference

#endif  // ROCIT_REFERENCE_TREE_ATTENTION_H_
