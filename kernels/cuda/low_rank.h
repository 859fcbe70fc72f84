// Products of low depth, at the speed of writing (or reading and writing) the result once: scaling z B^T + bias, and the
// sum of dz A over adapters.
#ifndef ROCIT_CUDA_LOW_RANK_H_
#define ROCIT_CUDA_LOW_RANK_H_

#include "device.h"
#include "dropout.h"

namespace rocit {

inline constexpr int kMostLowRankTerms = 8;

// (m, c) gets scale keep(m, c) sum over r of u(m, r) v(r, c)
struct LowRankTerm {
  const float* u;  // [rows, depth] with rows of u_stride
  const float* v;  // element (r, c) at v[r * v_row_stride + c * v_column_stride]
  int64_t depth, u_stride, v_row_stride, v_column_stride;
  float scale;
  bool drops;
  Dropout dropout;
};

// out = bias + sum of terms, or out + sum of terms
struct LowRank {
  RocitDtype dtype;  // of bias and out
  bool accumulates;
  int64_t rows, columns;
  const void* bias;  // [columns], or null; not read when it accumulates
  void* out;         // [rows, columns]
  int num_terms;
  LowRankTerm terms[kMostLowRankTerms];
};

RocitCudaStatus LaunchLowRank(const LowRank& product, void* stream);

}  // namespace rocit

#endif  // ROCIT_CUDA_LOW_RANK_H_
