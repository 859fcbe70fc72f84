// The float64 twin of adamw, from the formulas alone.
#ifndef ROCIT_REFERENCE_ADAMW_H_
#define ROCIT_REFERENCE_ADAMW_H_

#include <cmath>
#include <vector>

namespace reference {

struct AdamwSettings {
  double learning_rate, beta1, beta2, eps, weight_decay, max_grad_norm, grad_scale;
  int step;
};

using Vectors = std::vector<std::vector<double>>;

inline double GradNorm(const Vectors& grads, double scale) {
  double squares = 0;
  for (const auto& tensor : grads) {
    for (const double g : tensor) squares += g * scale * g * scale;
  }
  return std::sqrt(squares);
}

// Changes p, m and v as one AdamW step does, where `norm` is that of all gradients.
inline void AdamwOfNorm(const AdamwSettings& s, double norm, const Vectors& grads, Vectors* p, Vectors* m, Vectors* v) {
  double clip = 1;
  if (s.max_grad_norm > 0 && s.max_grad_norm / (norm + 1e-6) < 1) clip = s.max_grad_norm / (norm + 1e-6);
  for (size_t t = 0; t < grads.size(); ++t) {
    for (size_t i = 0; i < grads[t].size(); ++i) {
      const double g = grads[t][i] * s.grad_scale * clip;
      (*m)[t][i] = s.beta1 * (*m)[t][i] + (1 - s.beta1) * g;
      (*v)[t][i] = s.beta2 * (*v)[t][i] + (1 - s.beta2) * g * g;
      const double mean = (*m)[t][i] / (1 - std::pow(s.beta1, s.step));
      const double variance = (*v)[t][i] / (1 - std::pow(s.beta2, s.step));
      (*p)[t][i] -= s.learning_rate * s.weight_decay * (*p)[t][i];
      (*p)[t][i] -= s.learning_rate * mean / (std::sqrt(variance) + s.eps);
    }
  }
}

inline void Adamw(const AdamwSettings& s, const Vectors& grads, Vectors* p, Vectors* m, Vectors* v) {
  AdamwOfNorm(s, GradNorm(grads, s.grad_scale), grads, p, m, v);
}

}  // namespace reference

#endif  // ROCIT_REFERENCE_ADAMW_H_
