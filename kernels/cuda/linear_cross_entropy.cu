// linear_cross_entropy on CUDA. Rows with edges are found and numbered on the device; as many as can be at most go through
// in chunks: gathered, multiplied by the library into float32 logits, which a block a row turns into losses and in place
// into exp(logit - largest) in the dtype, multiplied back by the library into float32, and put into dx with the pull of
// the targets, in float32 until the one rounding. Beside the two products the logits of a chunk are read once from memory
// (a second time from the second-level cache) and written once: of 32,000 words and 4,096 channels a tenth of their time.
#include "linear_cross_entropy.h"

#include "cuda_gemm.h"
#include "edge_rows.h"

namespace rocit {
namespace {

constexpr int kThreads = 256, kRowThreads = 512;
constexpr int64_t kChunkStep = 128;  // rows of a chunk are a multiple
constexpr int64_t kLineWords = 8;    // of a row of logits, so that it may be read by vectors

// What the kernels of a chunk share. Its rows have numbers begin ... begin + rows - 1, of which those behind the last
// row with edges are computed for nothing.
struct Chunk {
  RocitLinearCrossEntropyArgs args;
  EdgeRows edges;
  int64_t begin, rows, stride;  // stride: floats of a row of logits
  void* x;                      // [rows, C]
  float* logits;                // [rows, stride]; later exponentials, rows as far apart as before
  float* factors;               // [rows], of the exponentials
  float* pulls;                 // [rows, C]
};

template <class T, int kVec>
__global__ void __launch_bounds__(kThreads) GatherRows(Chunk chunk) {
  const int64_t number = chunk.begin + blockIdx.x, C = chunk.args.hidden_size;
  const bool is_there = number < *chunk.edges.count;
  const int64_t row = is_there ? chunk.edges.rows[number] : 0;
  const T* from = static_cast<const T*>(chunk.args.x) + row * C;
  T* to = static_cast<T*>(chunk.x) + static_cast<int64_t>(blockIdx.x) * C;
  for (int64_t c = static_cast<int64_t>(threadIdx.x) * kVec; c < C; c += kThreads * kVec) {
    Vec<T, kVec> values = {};
    if (is_there) values = Vec<T, kVec>::Load(from + c);
    values.Store(to + c);
  }
}

// Of some logits the largest, and the sum of exp(logit - largest). A NaN shows in the sum.
struct Softmax {
  float largest, sum;
};

__device__ __forceinline__ Softmax Join(const Softmax& a, const Softmax& b) {
  const float largest = fmaxf(a.largest, b.largest);
  if (largest == -INFINITY) return {largest, a.sum + b.sum};  // nothing but NaN yet, or nothing
  return {largest, a.sum * __expf(a.largest - largest) + b.sum * __expf(b.largest - largest)};
}

// Over the block, in a fixed order, known to all threads.
__device__ __forceinline__ Softmax JoinBlock(Softmax own, Softmax* shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const auto join_warp = [&] {
#pragma unroll
    for (int other = kWarpSize / 2; other > 0; other /= 2) {
      const Softmax theirs = {__shfl_down_sync(kAllLanes, own.largest, other), __shfl_down_sync(kAllLanes, own.sum, other)};
      own = Join(own, theirs);
    }
  };
  join_warp();
  if (lane == 0) shared[warp] = own;
  __syncthreads();
  own = lane < kRowThreads / kWarpSize ? shared[lane] : Softmax{-INFINITY, 0.0f};
  __syncthreads();
  join_warp();
  if (threadIdx.x == 0) shared[0] = own;
  __syncthreads();
  return shared[0];
}

using Words = Vec<float, 4>;
constexpr int kWords = 4;

// What lies behind the vocabulary counts as nothing.
__device__ __forceinline__ Words LoadWords(const float* logits, int64_t word, int64_t vocab) {
  Words words = Words::Load(logits + word);
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    if (word + i >= vocab) words.at[i] = -INFINITY;
  }
  return words;
}

__device__ __forceinline__ Softmax SoftmaxOf(const float* logits, int64_t vocab, Softmax* shared) {
  Softmax own = {-INFINITY, 0.0f};
  for (int64_t word = static_cast<int64_t>(threadIdx.x) * kWords; word < vocab; word += kRowThreads * kWords) {
    const Words words = LoadWords(logits, word, vocab);
    const float largest = fmaxf(fmaxf(words.at[0], words.at[1]), fmaxf(words.at[2], words.at[3]));
    if (largest == -INFINITY) continue;
    Softmax next = {largest, 0.0f};
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if (word + i < vocab) next.sum += __expf(words.at[i] - largest);
    }
    own = Join(own, next);
  }
  return JoinBlock(own, shared);
}

// Logits become exponentials where they lie: what a step writes is behind what it reads, so a barrier between is enough.
template <class T>
__device__ __forceinline__ void Exponentiate(float* logits, int64_t stride, int64_t vocab, float largest) {
  T* to = reinterpret_cast<T*>(logits);
  for (int64_t begin = 0; begin < stride; begin += kRowThreads * kWords) {
    const int64_t word = begin + static_cast<int64_t>(threadIdx.x) * kWords;
    Vec<T, kWords> result = {};
    if (word < stride) {
      const Words words = LoadWords(logits, word, vocab);
#pragma unroll
      for (int i = 0; i < kWords; ++i) result.at[i] = FromFloat<T>(word + i < vocab ? __expf(words.at[i] - largest) : 0.0f);
    }
    __syncthreads();
    if (word < stride) result.Store(to + word);
  }
}

// A block takes a row.
template <class T>
__global__ void __launch_bounds__(kRowThreads) TakeLosses(Chunk chunk) {
  ROCIT_SHARED Softmax shared[kWarpSize];
  ROCIT_SHARED float sums[kWarpSize];
  const RocitLinearCrossEntropyArgs& args = chunk.args;
  const int64_t number = chunk.begin + blockIdx.x;
  if (number >= *chunk.edges.count) return;  // the whole block
  float* logits = chunk.logits + static_cast<int64_t>(blockIdx.x) * chunk.stride;
  const Softmax all = SoftmaxOf(logits, args.vocab_size, shared);
  const float log_sum = logf(all.sum);
  float weight = 0;
  const int32_t end = chunk.edges.first[number + 1];
  for (int32_t i = chunk.edges.first[number] + static_cast<int32_t>(threadIdx.x); i < end; i += kRowThreads) {
    const int32_t edge = chunk.edges.order[i];
    const int64_t target = args.edge_targets[edge];
    const bool is_word = target >= 0 && target < args.vocab_size;
    args.edge_losses[edge] = is_word ? log_sum - (logits[target] - all.largest) : NAN;
    weight += args.edge_weights[edge];
  }
  if (args.dx == nullptr) return;
  weight = BlockSum(weight, sums);
  if (threadIdx.x == 0) chunk.factors[blockIdx.x] = weight / all.sum;
  Exponentiate<T>(logits, chunk.stride, args.vocab_size, all.largest);
}

// dx of a row: what all words pull, less what its targets do.
template <class T>
__global__ void __launch_bounds__(kThreads) ScatterRows(Chunk chunk) {
  const RocitLinearCrossEntropyArgs& args = chunk.args;
  const int64_t number = chunk.begin + blockIdx.x, C = args.hidden_size;
  if (number >= *chunk.edges.count) return;
  const float factor = chunk.factors[blockIdx.x];
  const float* pull = chunk.pulls + static_cast<int64_t>(blockIdx.x) * C;
  T* to = static_cast<T*>(args.dx) + chunk.edges.rows[number] * C;
  const int32_t begin = chunk.edges.first[number], end = chunk.edges.first[number + 1];
  for (int64_t c = threadIdx.x; c < C; c += kThreads) {
    float sum = factor * pull[c];
    for (int32_t i = begin; i < end; ++i) {
      const int32_t edge = chunk.edges.order[i];
      const int64_t target = args.edge_targets[edge];
      if (target < 0 || target >= args.vocab_size) continue;  // its loss says it
      sum -= args.edge_weights[edge] * ToFloat(static_cast<const T*>(args.weight)[target * C + c]);
    }
    to[c] = FromFloat<T>(sum);
  }
}

// Edges outside of the rows are nobody's.
__global__ void __launch_bounds__(kThreads) MarkLosses(const int32_t* __restrict__ edge_rows, int64_t num_rows,
                                                       int64_t num_edges, float* __restrict__ edge_losses) {
  const int64_t edge = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (edge < num_edges && (edge_rows[edge] < 0 || edge_rows[edge] >= num_rows)) edge_losses[edge] = NAN;
}

// One block; float64, always in the same order.
__global__ void __launch_bounds__(kThreads) SumLosses(const float* __restrict__ weights, const float* __restrict__ losses,
                                                      int64_t count, float* __restrict__ loss) {
  ROCIT_SHARED double sums[kThreads];
  double sum = 0;
  for (int64_t e = threadIdx.x; e < count; e += kThreads) sum += static_cast<double>(weights[e]) * static_cast<double>(losses[e]);
  sums[threadIdx.x] = sum;
  for (int width = kThreads / 2; width > 0; width /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < width) sums[threadIdx.x] += sums[threadIdx.x + width];
  }
  if (threadIdx.x == 0) *loss = static_cast<float>(sums[0]);
}

int64_t MostRows(const RocitLinearCrossEntropyArgs& args) {
  return args.num_rows < args.num_edges ? args.num_rows : args.num_edges;
}

int64_t RoundUp(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// Even chunks of at most ChunkBytes() of logits.
int64_t ChunkRows(const RocitLinearCrossEntropyArgs& args) {
  const int64_t all = MostRows(args), bytes = RoundUp(args.vocab_size + 1, kLineWords) * 4;
  const int64_t fitting = ChunkBytes() / bytes / kChunkStep * kChunkStep, most = fitting < kChunkStep ? kChunkStep : fitting;
  if (all <= most) return all;
  const int64_t chunks = (all + most - 1) / most;
  return RoundUp((all + chunks - 1) / chunks, kChunkStep);
}

struct Space {
  void* gemm;
  EdgeRows edges;
  int64_t chunk_rows, stride;
  char* x;
  float *logits, *factors, *pulls;

  Space(const RocitLinearCrossEntropyArgs& args, Workspace* workspace)
      : gemm(workspace->Take<char>(GemmWorkspaceBytes())), edges(args.num_rows, args.num_edges, workspace),
        chunk_rows(ChunkRows(args)), stride(RoundUp(args.vocab_size, kLineWords)),
        x(workspace->Take<char>(chunk_rows * args.hidden_size * SizeOf(args.dtype))),
        logits(workspace->Take<float>(chunk_rows * stride)), factors(workspace->Take<float>(chunk_rows)),
        pulls(workspace->Take<float>(args.dx != nullptr ? chunk_rows * args.hidden_size : 0)) {}
};

template <class T>
RocitCudaStatus Gather(const Chunk& chunk, const RocitCuda& cuda) {
  const int64_t C = chunk.args.hidden_size;
  const bool is_aligned = IsAligned16<T>(chunk.args.x, C) && IsAligned16<T>(chunk.x, C);
  const auto kernel = is_aligned ? &GatherRows<T, kWidest<T>> : &GatherRows<T, 1>;
  return Launch(kernel, dim3(NumBlocks(chunk.rows, 1)), dim3(kThreads), 0, cuda.stream, chunk);
}

template <class T>
RocitCudaStatus TakeChunk(const Chunk& chunk, const Space& space, const RocitCuda& cuda) {
  const RocitLinearCrossEntropyArgs& args = chunk.args;
  const int64_t C = args.hidden_size, V = args.vocab_size;
  const dim3 rows(NumBlocks(chunk.rows, 1));
  RocitCudaStatus status = Gather<T>(chunk, cuda);
  if (status == 0) {
    status = CudaGemm({args.dtype, ROCIT_FLOAT32, chunk.rows, V, C, chunk.x, args.weight, chunk.logits, C, C, chunk.stride, 0,
                       1, 0},
                      cuda, space.gemm);
  }
  if (status == 0) status = Launch(&TakeLosses<T>, rows, dim3(kRowThreads), 0, cuda.stream, chunk);
  if (status != 0 || args.dx == nullptr) return status;
  const int64_t stride = chunk.stride * 4 / static_cast<int64_t>(sizeof(T));
  status = CudaGemm({args.dtype, ROCIT_FLOAT32, chunk.rows, C, V, chunk.logits, args.weight, chunk.pulls, stride, C, C, 0, 0, 0},
                    cuda, space.gemm);
  if (status == 0) status = Launch(&ScatterRows<T>, rows, dim3(kThreads), 0, cuda.stream, chunk);
  return status;
}

RocitCudaStatus TakeEdges(const RocitLinearCrossEntropyArgs& args, const Space& space, const RocitCuda& cuda) {
  RocitCudaStatus status = FindEdgeRows(space.edges, args.edge_rows, args.num_rows, args.num_edges, cuda.stream);
  if (status == 0) {
    status = Launch(&MarkLosses, dim3(NumBlocks(args.num_edges, kThreads)), dim3(kThreads), 0, cuda.stream, args.edge_rows,
                    args.num_rows, args.num_edges, args.edge_losses);
  }
  const int64_t all = MostRows(args);
  for (int64_t begin = 0; begin < all && status == 0; begin += space.chunk_rows) {
    const int64_t rows = space.chunk_rows < all - begin ? space.chunk_rows : all - begin;
    const Chunk chunk = {args, space.edges, begin, rows, space.stride, space.x, space.logits, space.factors, space.pulls};
    status = args.dtype == ROCIT_FLOAT32 ? TakeChunk<float>(chunk, space, cuda) : TakeChunk<Bf16>(chunk, space, cuda);
  }
  return status;
}

}  // namespace
}  // namespace rocit

int64_t rocit_linear_cross_entropy_cuda_workspace(const RocitLinearCrossEntropyArgs* args) {
  rocit::Workspace workspace(nullptr);
  const rocit::Space space(*args, &workspace);
  return workspace.bytes();
}

RocitCudaStatus rocit_linear_cross_entropy_cuda(const RocitLinearCrossEntropyArgs* args, const RocitCuda* cuda) {
  rocit::Workspace workspace(cuda->workspace);
  const rocit::Space space(*args, &workspace);
  RocitCudaStatus status = 0;
  const int64_t bytes = args->num_rows * args->hidden_size * rocit::SizeOf(args->dtype);
  if (args->dx != nullptr && bytes > 0) {
    status = static_cast<int>(
        cudaMemsetAsync(args->dx, 0, static_cast<size_t>(bytes), static_cast<cudaStream_t>(cuda->stream)));
  }
  if (status == 0 && args->num_edges > 0) status = rocit::TakeEdges(*args, space, *cuda);
  if (status != 0) return status;
  return rocit::Launch(&rocit::SumLosses, dim3(1), dim3(rocit::kThreads), 0, cuda->stream, args->edge_weights,
                       args->edge_losses, args->num_edges, args->loss);
}
