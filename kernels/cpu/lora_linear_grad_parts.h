// The parts of the backward of lora_linear that are no plain product, the same for all vector paths.
#ifndef ROCIT_CPU_LORA_LINEAR_GRAD_PARTS_H_
#define ROCIT_CPU_LORA_LINEAR_GRAD_PARTS_H_

#include "gemm_segment.h"

namespace rocit {

constexpr int64_t kOuterColumns = 128;
constexpr int64_t kOuterRows = 128;  // of y at a time, which stay in the first-level cache

// s^T drop(y), with few columns in s: the gradients of adapters. Element (r, c) goes to out[r][c * out_step], scaled, and
// is added there to that of before[r] unless that is null.
struct OuterProduct {
  const float* s;  // [rows, count]
  int64_t s_stride, count;
  Matrix y;  // [rows, columns], not transposed
  int64_t rows, columns;
  const Dropout* dropout;  // of y, or null
  float scale;
  float* const* out;
  const float* const* before;
  int64_t out_step;
};

inline void StoreOuter(const OuterProduct& product, int64_t r, int64_t c, float value) {
  const float* before = product.before[r];
  const int64_t at = c * product.out_step;
  product.out[r][at] = before == nullptr ? value : before[at] + value;
}

struct OuterPiece {
  const OuterProduct* product;
  int64_t column_begin, column_end;  // at most kOuterColumns
};

// to = sum of parts[i] masked by dropouts[i] over rows [begin, end); a null dropout keeps everything.
struct MaskedSum {
  const float* const* parts;  // [rows, columns] each
  const Dropout* const* dropouts;
  int64_t num_parts, columns;
  void* to;
  RocitDtype dtype;
};

}  // namespace rocit

#endif  // ROCIT_CPU_LORA_LINEAR_GRAD_PARTS_H_
