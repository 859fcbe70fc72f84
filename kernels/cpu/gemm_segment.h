// What a matrix product is made of, the same for all vector paths: c = sum over segments of a_s b_s (+ bias, + beta c).
// A segment is a product whose rows of a are read where they lie and whose b is packed, a slab of columns at a time.
#ifndef ROCIT_CPU_GEMM_SEGMENT_H_
#define ROCIT_CPU_GEMM_SEGMENT_H_

#include <cstdint>

#include "contract.h"

namespace rocit {

// A counter-based mask: element (row, column) of x is kept when a hash of (seed, row, column) reaches the threshold.
struct Dropout {
  uint64_t seed;
  uint32_t threshold;  // 0: nothing is dropped
  float scale;         // 1 / (1 - probability)
};

struct Matrix {
  const void* data;
  RocitDtype dtype;
  int64_t stride;  // elements from one row of memory to the next
  bool is_transposed;
};

struct Segment {
  Matrix a;  // [rows, depth]; transposed: [depth, rows] in memory
  Matrix b;  // [depth, columns]; transposed: [columns, depth] in memory
  int64_t depth;
  float scale;             // of b, float32 only
  const Dropout* dropout;  // of a, or null; a then counts as float32
};

// Pairs of bfloat16 as they lie; everything else is multiplied as float32.
inline bool IsPairs(const Segment& s) {
  return s.a.dtype == ROCIT_BFLOAT16 && s.b.dtype == ROCIT_BFLOAT16 && s.dropout == nullptr && s.scale == 1;
}

constexpr int64_t kMostSegments = 16;

struct Product {
  const Segment* segments;
  int64_t num_segments;
  int64_t rows, columns;
  void* c;
  RocitDtype c_dtype;
  int64_t c_stride;
  const void* bias;  // [columns] of bias_dtype, or null
  RocitDtype bias_dtype;
  float beta;  // 0: c is not read
};

// A piece of a product: rows and columns [begin, end).
struct Piece {
  const Product* product;
  int64_t row_begin, row_end, column_begin, column_end;
};

// On AMX float32 is packed as three parts, of which a slab holds so much of the depth. A product of more is taken a stretch
// at a time and added up in c, so that a slab has many columns and each row is split seldom.
constexpr int64_t kPartsDepth = 576;

inline bool HasStretches(const Product& product) {
  int64_t depth = 0;
  for (int64_t s = 0; s < product.num_segments; ++s) {
    if (IsPairs(product.segments[s]) || product.segments[s].dropout != nullptr) return false;
    depth += product.segments[s].depth;
  }
  return product.c_dtype == ROCIT_FLOAT32 && depth > kPartsDepth;
}

inline int64_t SizeOf(RocitDtype dtype) { return dtype == ROCIT_FLOAT32 ? 4 : 2; }

inline const char* At(const void* data, RocitDtype dtype, int64_t index) {
  return static_cast<const char*>(data) + index * SizeOf(dtype);
}

}  // namespace rocit

#endif  // ROCIT_CPU_GEMM_SEGMENT_H_
