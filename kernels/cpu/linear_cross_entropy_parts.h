// The work of linear_cross_entropy as its threads share it, the same for all vector paths.
#ifndef ROCIT_CPU_LINEAR_CROSS_ENTROPY_PARTS_H_
#define ROCIT_CPU_LINEAR_CROSS_ENTROPY_PARTS_H_

#include "linear_cross_entropy.h"

namespace rocit {

// The rows that have edges, gathered, and their edges: those of row i are order[first[i]] to order[first[i + 1] - 1].
struct EdgeRows {
  int64_t count;
  const void* x;         // [count, C]
  const int32_t* rows;   // [count], where they came from
  const int64_t* first;  // [count + 1]
  const int32_t* order;  // [E]
};

// Some rows by some words. What a piece finds out about a row: the largest of its logits, the sum of exp(logit - largest)
// and sum exp(logit - largest) W over the words of the piece.
struct EntropyPiece {
  const RocitLinearCrossEntropyArgs* args;
  const EdgeRows* edges;
  int64_t row_begin, row_end, word_begin, word_end;
  float* largest;  // [count]
  float* sums;     // [count]
  float* pulls;    // [count, C], or null
  float* target_logits;  // [E], those of edges whose target is among the words
};

// The pieces of all words put together for rows [begin, end).
struct EntropyJoin {
  const RocitLinearCrossEntropyArgs* args;
  const EdgeRows* edges;
  int64_t num_parts;  // of the vocabulary
  const float* largest;  // [parts, count]
  const float* sums;
  const float* pulls;  // [parts, count, C]
  const float* target_logits;
};

}  // namespace rocit

#endif  // ROCIT_CPU_LINEAR_CROSS_ENTROPY_PARTS_H_
