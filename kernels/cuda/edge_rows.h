// Which rows have edges, found out on the device: the host learns neither their number nor their places.
#ifndef ROCIT_CUDA_EDGE_ROWS_H_
#define ROCIT_CUDA_EDGE_ROWS_H_

#include "cuda_gemm.h"

namespace rocit {

// Device memory. Rows with edges get numbers in their order; row number i is rows[i] and has the edges
// order[first[i]] ... order[first[i + 1] - 1], ascending. Edges outside of the N rows belong to none.
struct EdgeRows {
  int32_t* count;    // [1] rows with edges
  int32_t* rows;     // [min(N, E)]
  int32_t* first;    // [min(N, E) + 1]
  int32_t* order;    // [E]
  int32_t* tally;    // [N] edges of a row, then where its edges begin
  int32_t* places;   // [E] of an edge among those of its row, in the order they were met
  int32_t* buckets;  // [E] edges by row, within a row as they were met

  EdgeRows(int64_t num_rows, int64_t num_edges, Workspace* workspace);
};

RocitCudaStatus FindEdgeRows(const EdgeRows& found, const int32_t* edge_rows, int64_t num_rows, int64_t num_edges,
                             void* stream);

}  // namespace rocit

#endif  // ROCIT_CUDA_EDGE_ROWS_H_
