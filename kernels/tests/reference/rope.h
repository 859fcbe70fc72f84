// The float64 twin of rope, from the formulas alone. The angle is the float32 product, which is part of the contract.
#ifndef ROCIT_REFERENCE_ROPE_H_
#define ROCIT_REFERENCE_ROPE_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace reference {

struct RopeSizes {
  size_t heads, head_dim;
  bool interleaved;
  int direction;
};

// x [N, H, D], contiguous. Multiplying by e^(i angle): (a + ib)(cos + i sin).
inline std::vector<double> Rope(const std::vector<double>& x, const std::vector<int32_t>& positions,
                                const std::vector<float>& inv_freq, const RopeSizes& sizes) {
  std::vector<double> y = x;
  const size_t pairs = inv_freq.size();
  for (size_t n = 0; n < positions.size(); ++n) {
    for (size_t h = 0; h < sizes.heads; ++h) {
      for (size_t i = 0; i < pairs; ++i) {
        const double angle = sizes.direction * static_cast<double>(static_cast<float>(positions[n]) * inv_freq[i]);
        const size_t head = (n * sizes.heads + h) * sizes.head_dim;
        const size_t a = head + (sizes.interleaved ? 2 * i : i);
        const size_t b = sizes.interleaved ? a + 1 : a + pairs;
        y[a] = x[a] * std::cos(angle) - x[b] * std::sin(angle);
        y[b] = x[b] * std::cos(angle) + x[a] * std::sin(angle);
      }
    }
  }
  return y;
}

}  // namespace reference

#endif  // ROCIT_REFERENCE_ROPE_H_
