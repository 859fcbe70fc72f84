// Splitting float32 into parts, for all vector paths. Bound by memory.
#include "float_parts.h"

#include <algorithm>

#include "machine.h"
#include "parallel.h"
#include "scratch.h"

#define ROCIT_LOOPS "float_parts_loops.h"
#include "each_path.h"

namespace rocit {

FloatParts::FloatParts(RocitDtype base, const RocitParallel* parallel)
    : parallel_(parallel), splits_(base == ROCIT_BFLOAT16 && rocit_path() == ROCIT_AMX_BF16) {}

Bfloat16* FloatParts::Take(int64_t count) {
  memory_.emplace_back(new Bfloat16[std::max<int64_t>(count, 1)]);
  return memory_.back().get();
}

void FloatParts::SplitRows(const SplitSource& source, const SplitTarget& target) {
  ParallelFor(parallel_, source.rows, source.columns, [&](int64_t begin, int64_t end) {
    ROCIT_DISPATCH(SplitSomeRows, source, target, begin, end);
  });
}

int64_t FloatParts::SplitRight(const Segment& segment, int64_t columns, Segment* to) {
  to[0] = segment;
  if (!splits_ || segment.dropout != nullptr) return 1;
  const Matrix& b = segment.b;
  const int64_t rows = b.is_transposed ? columns : segment.depth, width = b.is_transposed ? segment.depth : columns;
  Bfloat16* parts = Take(3 * rows * width);
  SplitTarget target = {{kHigh, kMiddle, kLow}, {}, width};
  for (int64_t i = 0; i < 3; ++i) {
    target.to[i] = parts + i * rows * width;
    to[i] = {segment.a, {target.to[i], ROCIT_BFLOAT16, width, b.is_transposed}, segment.depth, 1, nullptr};
  }
  SplitRows({static_cast<const float*>(b.data), b.stride, rows, width, segment.scale}, target);
  return 3;
}

Segment FloatParts::SplitBoth(const Segment& segment, int64_t rows, int64_t columns) {
  if (!splits_) return segment;
  const Matrix &a = segment.a, &b = segment.b;
  const int64_t depth = segment.depth;
  Bfloat16 *left = Take(3 * rows * depth), *right = Take(3 * columns * depth);
  SplitRows({static_cast<const float*>(a.data), a.stride, rows, depth, 1},
            {{kHigh, kMiddle, kHigh}, {left, left + depth, left + 2 * depth}, 3 * depth});
  const int64_t b_rows = b.is_transposed ? columns : depth, width = b.is_transposed ? depth : columns;
  const int64_t step = b.is_transposed ? depth : depth * columns, stride = b.is_transposed ? 3 * depth : columns;
  SplitRows({static_cast<const float*>(b.data), b.stride, b_rows, width, segment.scale},
            {{kHigh, kHigh, kMiddle}, {right, right + step, right + 2 * step}, stride});
  return {{left, ROCIT_BFLOAT16, 3 * depth, false}, {right, ROCIT_BFLOAT16, stride, b.is_transposed}, 3 * depth, 1, nullptr};
}

Matrix FloatParts::SplitTransposed(const SplitSource& source) {
  // Not a power of two, which would crowd the rows of a tile into few sets of the cache.
  const int64_t stride = (source.rows + 31) / 32 * 32 + 32;
  Bfloat16* to = Take(3 * source.columns * stride);
  constexpr int64_t kBlock = 64;
  ParallelFor(parallel_, (source.rows + kBlock - 1) / kBlock, kBlock * source.columns, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      ROCIT_DISPATCH(SplitTransposedRows, source, i * kBlock, std::min(source.rows, (i + 1) * kBlock), to, stride);
    }
  });
  return {to, ROCIT_BFLOAT16, stride, false};
}

}  // namespace rocit
