// Products with few columns, at the speed of reading their long side once: x A^T, dy B, and dz^T x, dy^T z summed over
// the rows. The short side is float32.
#ifndef ROCIT_CUDA_THIN_PRODUCT_H_
#define ROCIT_CUDA_THIN_PRODUCT_H_

#include "device.h"
#include "dropout.h"

namespace rocit {

inline constexpr int kMostThinParts = 8;

// Columns of the short side and of the result that lie together.
struct ThinPart {
  const float* w;   // element (column s, depth k) at w[s * column_stride + k * depth_stride]
  float* out;       // element (row m, column s) at out[m * row_stride + s * out_column_stride]
  int64_t count, column_stride, out_column_stride;
  float scale;          // of the result
  const float* before;  // as out, what the result is added to, or null
};

// out(m, s) = before(m, s) + scale sum over k of drop(x(m, k)) w(s, k)
struct ThinProduct {
  RocitDtype dtype;  // of x
  const void* x;     // [rows, depth]; transposed: [depth, rows] in memory
  bool is_transposed;
  int64_t rows, depth;
  const Dropout* dropout;  // of x, by its place in memory; on the host, or null
  int num_parts;
  ThinPart parts[kMostThinParts];
  int64_t depth_stride;  // of w
  int64_t row_stride;    // of out
};

// Floats of workspace. A product is cut along its depth by shape alone and the pieces are added in order.
int64_t ThinWorkspace(const ThinProduct& product);

RocitCudaStatus LaunchThin(const ThinProduct& product, void* stream, float* workspace);

}  // namespace rocit

#endif  // ROCIT_CUDA_THIN_PRODUCT_H_
