// adamw on CUDA. Bound by memory: the norm reads the gradients, the update reads four arrays and writes three. Tensors
// are cut into chunks of one size, a block each; the lists of pointers travel as arguments of the launches, some tensors
// a launch. What the norm decides stays on the device: the update reads it there.
#include "adamw.h"

#include <cfloat>
#include <cmath>

#include "device.h"

namespace rocit {
namespace {

constexpr int kThreads = 256;
constexpr int kFinishThreads = 512;
constexpr int kWidth = 4;  // neighbours that a thread takes at once
constexpr int64_t kChunk = 8192;
constexpr int32_t kNoTensor = 0x7fffffff;

// Tensors of one launch, each from its first block on. As many as 4 KiB of arguments hold.
template <int kArrays, int kMost>
struct Lists {
  static constexpr int kTensors = kMost;
  int32_t count;
  int32_t first_tensor, first_chunk;
  int32_t starts[kMost];
  int64_t sizes[kMost];
  const float* from[kArrays][kMost];
};
using NormLists = Lists<1, 200>;

struct UpdateLists : Lists<4, 58> {
  float* to[3][kTensors];
};

struct Piece {
  int tensor;
  int64_t begin, count;
};

// The block's chunk.
template <class L>
__device__ __forceinline__ Piece PieceOf(const L& lists) {
  const int32_t block = static_cast<int32_t>(blockIdx.x);
  int low = 0, high = lists.count;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (lists.starts[middle] <= block) low = middle;
    else high = middle;
  }
  const int64_t begin = (block - lists.starts[low]) * kChunk, rest = lists.sizes[low] - begin;
  return {low, begin, rest < kChunk ? rest : kChunk};
}

__device__ __forceinline__ bool IsAligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % (kWidth * sizeof(float)) == 0;
}

using Four = Vec<float, kWidth>;

// The four values from `from` on, of which `count` are there; the others are zero.
__device__ __forceinline__ Four LoadFour(const float* from, int64_t count, bool is_aligned) {
  if (is_aligned && count >= kWidth) return Four::Load(from);
  Four some;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) some.at[i] = i < count ? from[i] : 0.0f;
  return some;
}

__device__ __forceinline__ void StoreFour(float* to, const Four& values, int64_t count, bool is_aligned) {
  if (is_aligned && count >= kWidth) return values.Store(to);
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    if (i < count) to[i] = values.at[i];
  }
}

// The sum over the block in float64, for its first thread, always in the same order.
template <int kCount>
__device__ __forceinline__ double BlockTotal(double value) {
  ROCIT_SHARED double shared[kCount];
  shared[threadIdx.x] = value;
  for (int half = kCount / 2; half > 0; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  return threadIdx.x == 0 ? shared[0] : 0.0;
}

// squares[chunk]: the sum of squares in float64, which is finite exactly when the chunk is. owners[chunk]: its tensor.
__global__ void __launch_bounds__(kThreads) SquaresKernel(const NormLists lists, double* squares, int32_t* owners) {
  const Piece piece = PieceOf(lists);
  const float* from = lists.from[0][piece.tensor] + piece.begin;
  const bool is_aligned = IsAligned(from);
  double sum = 0;
  for (int64_t i = threadIdx.x * kWidth; i < piece.count; i += kThreads * kWidth) {
    const Four g = LoadFour(from + i, piece.count - i, is_aligned);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum += static_cast<double>(g.at[k]) * g.at[k];
  }
  sum = BlockTotal<kThreads>(sum);
  if (threadIdx.x != 0) return;
  const int64_t chunk = static_cast<int64_t>(lists.first_chunk) + blockIdx.x;
  squares[chunk] = sum;
  owners[chunk] = lists.first_tensor + piece.tensor;
}

// What the update must know of all gradients.
struct Verdict {
  float scale;  // of every gradient: grad_scale times the clipping
  int32_t is_bad;
};

__global__ void __launch_bounds__(kFinishThreads)
    FinishKernel(int64_t chunks, const double* __restrict__ squares, const int32_t* __restrict__ owners, double grad_scale,
                 double max_grad_norm, Verdict* verdict, float* stats) {
  ROCIT_SHARED int32_t first_bad[kFinishThreads];
  double sum = 0;
  int32_t bad = kNoTensor;
  for (int64_t i = threadIdx.x; i < chunks; i += kFinishThreads) {
    sum += squares[i];
    if (!(squares[i] <= DBL_MAX) && owners[i] < bad) bad = owners[i];
  }
  first_bad[threadIdx.x] = bad;
  const double total = BlockTotal<kFinishThreads>(sum);  // its barriers stand between the writes and the reads below
  if (threadIdx.x != 0) return;
  for (int i = 0; i < kFinishThreads; ++i) bad = first_bad[i] < bad ? first_bad[i] : bad;
  const double norm = fabs(grad_scale) * sqrt(total);
  const double bound = max_grad_norm / (norm + 1e-6);
  const double clip = max_grad_norm > 0 && bound < 1 ? bound : 1.0;
  *verdict = {static_cast<float>(grad_scale * clip), bad != kNoTensor};
  stats[0] = static_cast<float>(norm);
  stats[1] = bad == kNoTensor ? -1.0f : static_cast<float>(bad);
}

struct Factors {
  float beta1, beta2, rest1, rest2, decay, step, root, eps;
};

// p, m and v after the step.
__device__ __forceinline__ void Update(const Factors& f, float scale, const Four& grad, Four* p, Four* m, Four* v) {
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    const float g = grad.at[k] * scale;
    m->at[k] = f.beta1 * m->at[k] + f.rest1 * g;
    v->at[k] = f.beta2 * v->at[k] + f.rest2 * g * g;
    p->at[k] = p->at[k] * f.decay - f.step * (m->at[k] / (sqrtf(v->at[k]) * f.root + f.eps));
  }
}

__global__ void __launch_bounds__(kThreads)
    UpdateKernel(const UpdateLists lists, const Factors factors, const Verdict* __restrict__ verdict) {
  const Piece piece = PieceOf(lists);
  const Verdict found = *verdict;
  const float* from[4];
  float* to[3];
  bool is_aligned = true;
#pragma unroll
  for (int a = 0; a < 4; ++a) {
    from[a] = lists.from[a][piece.tensor] + piece.begin;
    is_aligned = is_aligned && IsAligned(from[a]);
  }
#pragma unroll
  for (int a = 0; a < 3; ++a) {
    to[a] = lists.to[a][piece.tensor] + piece.begin;
    is_aligned = is_aligned && IsAligned(to[a]);
  }
  for (int64_t i = threadIdx.x * kWidth; i < piece.count; i += kThreads * kWidth) {
    const int64_t rest = piece.count - i;
    Four p = LoadFour(from[0] + i, rest, is_aligned), m = LoadFour(from[2] + i, rest, is_aligned);
    Four v = LoadFour(from[3] + i, rest, is_aligned);
    const Four g = LoadFour(from[1] + i, rest, is_aligned);
    if (!found.is_bad) Update(factors, found.scale, g, &p, &m, &v);
    StoreFour(to[0] + i, p, rest, is_aligned);
    StoreFour(to[1] + i, m, rest, is_aligned);
    StoreFour(to[2] + i, v, rest, is_aligned);
  }
}

int64_t ChunksOf(int64_t size) { return (size + kChunk - 1) / kChunk; }

int64_t NumChunks(const RocitAdamwArgs& args) {
  int64_t chunks = 0;
  for (int64_t t = 0; t < args.num_tensors; ++t) chunks += ChunksOf(args.sizes[t]);
  return chunks;
}

// The workspace: the verdict, then a sum of squares and a tensor for each chunk.
struct Workspace {
  Verdict* verdict;
  double* squares;
  int32_t* owners;

  Workspace(void* at, int64_t chunks)
      : verdict(static_cast<Verdict*>(at)),
        squares(static_cast<double*>(at) + sizeof(Verdict) / sizeof(double)),
        owners(reinterpret_cast<int32_t*>(squares + chunks)) {
    static_assert(sizeof(Verdict) % sizeof(double) == 0, "the sums behind it are aligned");
  }
};

// Calls send(lists, blocks) for one group of tensors after the other. add(&lists, i, t) puts tensor t in place i.
template <class L, class Add, class Send>
RocitCudaStatus EachGroup(const RocitAdamwArgs& args, const Add& add, const Send& send) {
  L lists = {};
  int64_t chunks = 0, blocks = 0;
  for (int64_t t = 0; t <= args.num_tensors; ++t) {
    if (t == args.num_tensors || lists.count == L::kTensors) {
      const RocitCudaStatus status = blocks > 0 ? send(lists, blocks) : 0;
      if (status != 0 || t == args.num_tensors) return status;
      chunks += blocks;
      lists = {};
      blocks = 0;
    }
    if (lists.count == 0) {
      lists.first_tensor = static_cast<int32_t>(t);
      lists.first_chunk = static_cast<int32_t>(chunks);
    }
    lists.starts[lists.count] = static_cast<int32_t>(blocks);
    lists.sizes[lists.count] = args.sizes[t];
    add(&lists, lists.count, t);
    lists.count += 1;
    blocks += ChunksOf(args.sizes[t]);
  }
  return 0;
}

RocitCudaStatus LaunchNorm(const RocitAdamwArgs& args, const Workspace& workspace, void* stream) {
  return EachGroup<NormLists>(
      args, [&](NormLists* lists, int i, int64_t t) { lists->from[0][i] = args.grads[t]; },
      [&](const NormLists& lists, int64_t blocks) {
        return Launch(&SquaresKernel, dim3(NumBlocks(blocks, 1)), dim3(kThreads), 0, stream, lists, workspace.squares,
                      workspace.owners);
      });
}

Factors FactorsOf(const RocitAdamwArgs& a) {
  const auto single = [](double value) { return static_cast<float>(value); };
  return {single(a.beta1),
          single(a.beta2),
          single(1 - a.beta1),
          single(1 - a.beta2),
          single(1 - a.learning_rate * a.weight_decay),
          single(a.learning_rate / a.bias_correction1),
          single(1 / std::sqrt(a.bias_correction2)),
          single(a.eps)};
}

RocitCudaStatus LaunchUpdate(const RocitAdamwArgs& args, const Workspace& workspace, void* stream) {
  const float* const* const from[] = {args.params, args.grads, args.m, args.v};
  float* const* const to[] = {args.new_params, args.new_m, args.new_v};
  const Factors factors = FactorsOf(args);
  return EachGroup<UpdateLists>(
      args,
      [&](UpdateLists* lists, int i, int64_t t) {
        for (int a = 0; a < 4; ++a) lists->from[a][i] = from[a][t];
        for (int a = 0; a < 3; ++a) lists->to[a][i] = to[a][t];
      },
      [&](const UpdateLists& lists, int64_t blocks) {
        return Launch(&UpdateKernel, dim3(NumBlocks(blocks, 1)), dim3(kThreads), 0, stream, lists, factors,
                      workspace.verdict);
      });
}

}  // namespace
}  // namespace rocit

int64_t rocit_adamw_cuda_workspace(const RocitAdamwArgs* args) {
  const int64_t one = static_cast<int64_t>(sizeof(double) + sizeof(int32_t));
  return static_cast<int64_t>(sizeof(rocit::Verdict)) + rocit::NumChunks(*args) * one;
}

RocitCudaStatus rocit_adamw_cuda(const RocitAdamwArgs* args, float* stats, const RocitCuda* cuda) {
  const int64_t chunks = rocit::NumChunks(*args);
  const rocit::Workspace workspace(cuda->workspace, chunks);
  RocitCudaStatus status = rocit::LaunchNorm(*args, workspace, cuda->stream);
  if (status != 0) return status;
  status = rocit::Launch(&rocit::FinishKernel, dim3(1), dim3(rocit::kFinishThreads), 0, cuda->stream, chunks,
                         workspace.squares, workspace.owners, args->grad_scale, args->max_grad_norm, workspace.verdict, stats);
  return status != 0 ? status : rocit::LaunchUpdate(*args, workspace, cuda->stream);
}
