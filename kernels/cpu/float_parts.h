// float32 adapters beside a bfloat16 base on the tile registers of AMX: value = high + middle + low, each bfloat16 and of
// the rest of those before it, exactly where none is subnormal. Elsewhere everything stays float32.
#ifndef ROCIT_CPU_FLOAT_PARTS_H_
#define ROCIT_CPU_FLOAT_PARTS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "elements.h"
#include "gemm_segment.h"

namespace rocit {

// scale * from[rows, columns], to be split.
struct SplitSource {
  const float* from;
  int64_t stride, rows, columns;
  float scale;
};

enum FloatPart { kHigh = 0, kMiddle = 1, kLow = 2 };

// Where three parts of each row go: to[i] + row * stride gets part[i].
struct SplitTarget {
  FloatPart part[3];
  Bfloat16* to[3];
  int64_t stride;
};

// Makes segments of parts, and holds them until the products are done.
class FloatParts {
 public:
  FloatParts(RocitDtype base, const RocitParallel* parallel);
  bool splits() const { return splits_; }

  // a bfloat16, b float32: three segments, one a part of b. As it is where nothing is split or dropout masks a.
  int64_t SplitRight(const Segment& segment, int64_t columns, Segment* to);

  // Both float32, for a result that is rounded to bfloat16: one segment of three times the depth, a_high b_high +
  // a_middle b_high + a_high b_middle; what is left out is below 2^-13 of the product, 2^-16 on average.
  Segment SplitBoth(const Segment& segment, int64_t rows, int64_t columns);

  // The three parts below each other, transposed: [3 * columns, rows].
  Matrix SplitTransposed(const SplitSource& source);

 private:
  Bfloat16* Take(int64_t count);
  void SplitRows(const SplitSource& source, const SplitTarget& target);

  const RocitParallel* parallel_;
  bool splits_;
  std::vector<std::unique_ptr<Bfloat16[]>> memory_;
};

}  // namespace rocit

#endif  // ROCIT_CPU_FLOAT_PARTS_H_
