// The float64 twin of swiglu, from the formulas alone.
#ifndef ROCIT_REFERENCE_SWIGLU_H_
#define ROCIT_REFERENCE_SWIGLU_H_

#include <cmath>

namespace reference {

inline double Sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

inline double Swiglu(double gate, double up) { return gate * Sigmoid(gate) * up; }

// d (g s(g)) / dg = s + g s (1 - s)
inline double SwigluGradGate(double dy, double gate, double up) {
  const double s = Sigmoid(gate);
  return dy * up * (s + gate * s * (1 - s));
}

inline double SwigluGradUp(double dy, double gate) { return dy * gate * Sigmoid(gate); }

}  // namespace reference

#endif  // ROCIT_REFERENCE_SWIGLU_H_
