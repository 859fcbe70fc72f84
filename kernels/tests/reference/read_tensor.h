// The value of a float16 pattern in float64, from the definition of IEEE 754.
#ifndef ROCIT_REFERENCE_READ_TENSOR_H_
#define ROCIT_REFERENCE_READ_TENSOR_H_

#include <cmath>
#include <cstdint>
#include <limits>

namespace reference {

inline double FromFloat16(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  double magnitude = 0;
  if (exponent == 31) magnitude = fraction == 0 ? HUGE_VAL : std::numeric_limits<double>::quiet_NaN();
  else if (exponent == 0) magnitude = std::ldexp(fraction, -24);
  else magnitude = std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

}  // namespace reference

#endif  // ROCIT_REFERENCE_READ_TENSOR_H_
