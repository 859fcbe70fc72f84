// What forward and backward of lora_linear share: the projections of a call, their matrices, the cut of thin products.
#ifndef ROCIT_CPU_LORA_ADAPTERS_H_
#define ROCIT_CPU_LORA_ADAPTERS_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "gemm_pieces.h"
#include "gemm_segment.h"
#include "lora_linear.h"

namespace rocit {

constexpr int64_t kMostProjections = ROCIT_LORA_MOST_PROJECTIONS;
static_assert(2 * kMostProjections <= kMostSegments, "the segments of dx fit into one product");

// What forward and backward know of the projections of a call.
struct Adapters {
  const RocitLoraProjection* all;
  int64_t count;
  int64_t offsets[kMostProjections + 1];  // of the columns of z
  Dropout dropouts[kMostProjections];
  bool any_dropout = false;

  Adapters(const RocitLoraProjection* projections, int64_t num) : all(projections), count(num) {
    offsets[0] = 0;
    for (int64_t p = 0; p < num; ++p) {
      offsets[p + 1] = offsets[p] + projections[p].rank;
      const double dropout = projections[p].dropout;
      dropouts[p] = {projections[p].seed, static_cast<uint32_t>(std::ceil(dropout * 4294967296.0)),
                     static_cast<float>(1 / (1 - dropout))};
      any_dropout = any_dropout || DropoutOf(p) != nullptr;
    }
  }
  int64_t total() const { return offsets[count]; }
  const Dropout* DropoutOf(int64_t p) const { return all[p].rank > 0 && all[p].dropout > 0 ? &dropouts[p] : nullptr; }
};

inline Matrix Plain(const void* data, RocitDtype dtype, int64_t stride) { return {data, dtype, stride, false}; }
inline Matrix Transposed(const void* data, RocitDtype dtype, int64_t stride) { return {data, dtype, stride, true}; }
inline Matrix Floats(const float* data, int64_t stride) { return {data, ROCIT_FLOAT32, stride, false}; }

// Pieces of a product with few columns: all columns by some rows, many where packing the columns weighs.
inline void AddThinPieces(const Product& product, std::vector<Piece>* pieces) {
  if (product.columns == 0) return;
  const int64_t rows = RowStep() * (rocit_path() == ROCIT_AMX_BF16 ? 16 : 9);
  for (int64_t r = 0; r < product.rows; r += rows) {
    pieces->push_back({&product, r, std::min(r + rows, product.rows), 0, product.columns});
  }
}

}  // namespace rocit

#endif  // ROCIT_CPU_LORA_ADAPTERS_H_
