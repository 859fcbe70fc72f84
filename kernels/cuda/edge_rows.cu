// Rows with edges on CUDA: edges are counted by row, the counts summed by one block, the edges put into the buckets of
// their rows and ordered there. Atomics decide only the order within a bucket, which the last step makes good.
#include "edge_rows.h"

namespace rocit {
namespace {

constexpr int kThreads = 256;
constexpr int kScanThreads = 1024;
constexpr int kOrderThreads = 128;

__device__ __forceinline__ int64_t ThreadNumber() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__global__ void __launch_bounds__(kThreads) CountEdges(EdgeRows found, const int32_t* __restrict__ edge_rows, int64_t num_rows,
                                                       int64_t num_edges) {
  const int64_t edge = ThreadNumber();
  if (edge >= num_edges) return;
  const int32_t row = edge_rows[edge];
  if (row >= 0 && row < num_rows) found.places[edge] = atomicAdd(&found.tally[row], 1);
}

// The sum over the threads before this one; `total` that over all.
__device__ __forceinline__ int Before(int value, int* shared, int* total) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  int sum = value;
#pragma unroll
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const int other = __shfl_up_sync(kAllLanes, sum, distance);
    if (lane >= distance) sum += other;
  }
  if (lane == kWarpSize - 1) shared[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    int warps = shared[lane];
#pragma unroll
    for (int distance = 1; distance < kWarpSize; distance *= 2) {
      const int other = __shfl_up_sync(kAllLanes, warps, distance);
      if (lane >= distance) warps += other;
    }
    shared[lane] = warps;
  }
  __syncthreads();
  const int before = sum - value + (warp > 0 ? shared[warp - 1] : 0);
  *total = shared[kWarpSize - 1];
  __syncthreads();
  return before;
}

// One block. tally becomes where the edges of a row begin.
__global__ void __launch_bounds__(kScanThreads) NumberRows(EdgeRows found, int64_t num_rows) {
  ROCIT_SHARED int shared[kWarpSize];
  int rows_before = 0, edges_before = 0;
  for (int64_t begin = 0; begin < num_rows; begin += kScanThreads) {
    const int64_t row = begin + threadIdx.x;
    const int edges = row < num_rows ? found.tally[row] : 0;
    int rows_here = 0, edges_here = 0;
    const int number = rows_before + Before(edges > 0 ? 1 : 0, shared, &rows_here);
    const int first = edges_before + Before(edges, shared, &edges_here);
    if (row < num_rows) found.tally[row] = first;
    if (edges > 0) {
      found.rows[number] = static_cast<int32_t>(row);
      found.first[number] = first;
    }
    rows_before += rows_here;
    edges_before += edges_here;
  }
  if (threadIdx.x == 0) {
    *found.count = rows_before;
    found.first[rows_before] = edges_before;
  }
}

__global__ void __launch_bounds__(kThreads) FillBuckets(EdgeRows found, const int32_t* __restrict__ edge_rows,
                                                        int64_t num_rows, int64_t num_edges) {
  const int64_t edge = ThreadNumber();
  if (edge >= num_edges) return;
  const int32_t row = edge_rows[edge];
  if (row >= 0 && row < num_rows) found.buckets[found.tally[row] + found.places[edge]] = static_cast<int32_t>(edge);
}

// Each row's edges in their own order: an edge comes behind those of its bucket that are smaller.
__global__ void __launch_bounds__(kOrderThreads) OrderBuckets(EdgeRows found) {
  const int64_t number = blockIdx.x;
  if (number >= *found.count) return;
  const int32_t begin = found.first[number], end = found.first[number + 1];
  for (int32_t i = begin + static_cast<int32_t>(threadIdx.x); i < end; i += kOrderThreads) {
    const int32_t edge = found.buckets[i];
    int32_t smaller = 0;
    for (int32_t j = begin; j < end; ++j) smaller += found.buckets[j] < edge ? 1 : 0;
    found.order[begin + smaller] = edge;
  }
}

}  // namespace

EdgeRows::EdgeRows(int64_t num_rows, int64_t num_edges, Workspace* workspace) {
  const int64_t most = num_rows < num_edges ? num_rows : num_edges;
  count = workspace->Take<int32_t>(1);
  rows = workspace->Take<int32_t>(most);
  first = workspace->Take<int32_t>(most + 1);
  order = workspace->Take<int32_t>(num_edges);
  tally = workspace->Take<int32_t>(num_rows);
  places = workspace->Take<int32_t>(num_edges);
  buckets = workspace->Take<int32_t>(num_edges);
}

RocitCudaStatus FindEdgeRows(const EdgeRows& found, const int32_t* edge_rows, int64_t num_rows, int64_t num_edges,
                             void* stream) {
  const int64_t most = num_rows < num_edges ? num_rows : num_edges;
  const size_t bytes = static_cast<size_t>(num_rows) * sizeof(int32_t);
  RocitCudaStatus status = static_cast<int>(cudaMemsetAsync(found.tally, 0, bytes, static_cast<cudaStream_t>(stream)));
  const dim3 edges(NumBlocks(num_edges, kThreads)), block(kThreads);
  if (status == 0) status = Launch(&CountEdges, edges, block, 0, stream, found, edge_rows, num_rows, num_edges);
  if (status == 0) status = Launch(&NumberRows, dim3(1), dim3(kScanThreads), 0, stream, found, num_rows);
  if (status == 0) status = Launch(&FillBuckets, edges, block, 0, stream, found, edge_rows, num_rows, num_edges);
  if (status == 0) status = Launch(&OrderBuckets, dim3(NumBlocks(most, 1)), dim3(kOrderThreads), 0, stream, found);
  return status;
}

}  // namespace rocit
