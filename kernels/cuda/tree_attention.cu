// Forward of tree_attention on CUDA: 128 rows a block meet the tiles of 64 keys that one of them sees, with a running
// maximum and sum a row (FlashAttention-2, arXiv 2307.08691). A warp has 32 rows, so that each matrix of keys or values
// that comes from shared memory is multiplied twice; while scores are multiplied the values arrive, while values are
// multiplied the next keys. Bound by the tensor cores; the exponentials of one warp run beside the products of others.
#include "tree_attention.h"

#include <cfloat>

#include "attention_tiles.h"

namespace rocit {
namespace attention {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarpSize;
constexpr int kM = 2;  // blocks of 16 rows a warp
constexpr int kWarpRows = 16 * kM, kTileRows = kWarps * kWarpRows, kKeys = kForwardKeys;

template <int kSize>
constexpr size_t kSharedBytes = (kTileRows + 2 * kKeys) * kStride<kSize> * sizeof(Bf16) +
                                (kKeys + kTileRows) * sizeof(int32_t) + (kWarps + 1) * sizeof(Tokens);

struct ForwardArgs {
  Shape shape;
  KeyBounds bounds;
  float scale;  // times log2(e), without its sign
  bool is_negative;
  const Bf16 *q, *k, *v;
  Bf16* out;
  float* lse;
};

// Of a warp's rows: lane l has rows l / 4 and l / 4 + 8 of each block.
template <int kSize>
struct Running {
  float top[kM][2];  // the largest score
  float sum[kM][2];  // of the weights in this lane's columns
  float out[kM][kSize / 8][4];
};

__device__ __forceinline__ void Negate(Sums<kM, kKeys / 8>& scores) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[m][n][i] = -scores[m][n][i];
    }
  }
}

// -inf for the keys that a row does not see.
__device__ __forceinline__ void Hide(Sums<kM, kKeys / 8>& scores, const int32_t* tokens, int32_t first_key,
                                     const int32_t* ends) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int32_t token = tokens[m * 16 + half * 8 + lane / 4];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int key = n * 8 + lane % 4 * 2 + i;
          if (!Sees(token, first_key + key, ends[key])) scores[m][n][half * 2 + i] = -INFINITY;
        }
      }
    }
  }
}

// Scores to weights relative to the running maximum, which moves up; earlier sums are scaled down to it.
template <int kSize>
__device__ __forceinline__ void Weigh(Sums<kM, kKeys / 8>& scores, float scale, Running<kSize>* running) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float top = running->top[m][half];
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
        top = fmaxf(top, fmaxf(scores[m][n][half * 2], scores[m][n][half * 2 + 1]));
      }
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
      // Rows that saw nothing so far: any finite maximum makes their weights zero.
      const float base = top == -INFINITY ? 0.0f : top * scale;
      const float down = FastExp2(fmaf(running->top[m][half], scale, -base));
      float sum = 0.0f;
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& score = scores[m][n][half * 2 + i];
          score = FastExp2(fmaf(score, scale, -base));
          sum += score;
        }
      }
      running->top[m][half] = top;
      running->sum[m][half] = fmaf(running->sum[m][half], down, sum);
#pragma unroll
      for (int n = 0; n < kSize / 8; ++n) {
        running->out[m][n][half * 2] *= down;
        running->out[m][n][half * 2 + 1] *= down;
      }
    }
  }
}

// out divided by the sums, and lse. `tile` holds the warp's rows of q, which are needed no more.
template <int kSize>
__device__ __forceinline__ void Finish(const ForwardArgs& args, int32_t first_row, int32_t key_head, Bf16* tile,
                                       Running<kSize>* running) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const Shape& shape = args.shape;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = running->sum[m][half];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      const float factor = 1.0f / sum;
#pragma unroll
      for (int n = 0; n < kSize / 8; ++n) {
        running->out[m][n][half * 2] *= factor;
        running->out[m][n][half * 2 + 1] *= factor;
      }
      const int32_t row = first_row + m * 16 + half * 8 + lane / 4;
      if (lane % 4 != 0 || row >= shape.rows) continue;
      args.lse[shape.RowIndex(row, key_head)] = fmaf(running->top[m][half] * args.scale, kLn2, logf(sum));
    }
  }
  PutSums<kSize, kM>(tile, running->out);
  __syncwarp();
  StoreTile<kSize, kWarpRows>(args.out, tile, shape.size, [&](int row) -> int64_t {
    return first_row + row < shape.rows ? shape.RowIndex(first_row + row, key_head) : -1;
  });
}

template <int kSize>
__global__ void __launch_bounds__(kThreads, 2) Attend(ForwardArgs args) {
  const Shape& shape = args.shape;
  Bf16* q_tile = DynamicShared<Bf16>();
  Bf16* k_tile = q_tile + kTileRows * kStride<kSize>;
  Bf16* v_tile = k_tile + kKeys * kStride<kSize>;
  int32_t* ends = reinterpret_cast<int32_t*>(v_tile + kKeys * kStride<kSize>);
  int32_t* row_tokens = ends + kKeys;
  Tokens* warp_tokens = reinterpret_cast<Tokens*>(row_tokens + kTileRows);
  const Tokens* tokens = warp_tokens + kWarps;
  const int warp = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kWarpSize, 0);
  // The last rows see most keys: they come first.
  const int key_head = static_cast<int>(blockIdx.x);
  const int32_t first_row = static_cast<int32_t>(gridDim.y - 1 - blockIdx.y) * kTileRows;
  const int32_t warp_row = first_row + warp * kWarpRows;
  Bf16* warp_q = q_tile + warp * kWarpRows * kStride<kSize>;
  PlaceTokens<kWarps, kWarpRows>(shape, first_row, row_tokens, warp_tokens);
  __syncthreads();
  int tile = NextTile<kKeys>(args.bounds, tokens->first, tokens->last, -1);
  LoadRows<kTileRows, kSize, kThreads>(shape, {q_tile}, {args.q}, first_row, key_head);
  if (tile >= 0) LoadKeys<kKeys, kSize, kThreads>(shape, {k_tile}, {args.k}, tile * kKeys, key_head);
  CopyAsyncCommit();
  Running<kSize> running;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      running.top[m][half] = -INFINITY;
      running.sum[m][half] = 0.0f;
    }
  }
  Clear<kM, kSize / 8>(running.out);
  while (tile >= 0) {
    const int32_t first_key = tile * kKeys;
    tile = NextTile<kKeys>(args.bounds, tokens->first, tokens->last, tile);
    float scores[kM][kKeys / 8][4];
    // The keys are here, and no warp reads the values and bounds before them.
    CopyAsyncWait<0>();
    __syncthreads();
    LoadKeys<kKeys, kSize, kThreads>(shape, {v_tile}, {args.v}, first_key, key_head);
    LoadEnds<kKeys>(ends, args.bounds, first_key);
    CopyAsyncCommit();
    MultiplyRows<kSize, kM, kKeys / 8>(scores, warp_q, k_tile);
    // The values are here, and no warp reads the keys.
    CopyAsyncWait<0>();
    __syncthreads();
    if (tile >= 0) LoadKeys<kKeys, kSize, kThreads>(shape, {k_tile}, {args.k}, tile * kKeys, key_head);
    CopyAsyncCommit();
    const TileBound bound = args.bounds.tiles[first_key / kKeys];
    if (!warp_tokens[warp].See(first_key, bound.most)) continue;
    if (args.is_negative) Negate(scores);
    if (!warp_tokens[warp].SeeAll(first_key + kKeys, bound.least)) {
      Hide(scores, row_tokens + warp * kWarpRows, first_key, ends);
    }
    Weigh<kSize>(scores, args.scale, &running);
    AddWeighted<kSize, kM, kKeys>(running.out, scores, v_tile);
  }
  CopyAsyncWait<0>();
  __syncthreads();
  Finish<kSize>(args, warp_row, key_head, warp_q, &running);
}

template <int kSize>
RocitCudaStatus LaunchAttend(const ForwardArgs& args, void* stream) {
  const unsigned tiles = static_cast<unsigned>(CeilDivide(args.shape.rows, kTileRows));
  return Launch(Attend<kSize>, dim3(static_cast<unsigned>(args.shape.key_heads), tiles), dim3(kThreads),
                kSharedBytes<kSize>, stream, args);
}

}  // namespace
}  // namespace attention
}  // namespace rocit

int64_t rocit_tree_attention_cuda_workspace(const RocitTreeAttentionInputs* in) {
  using namespace rocit::attention;
  return KeyBoundsBytes(in->num_keys, kForwardKeys);
}

RocitCudaStatus rocit_tree_attention_cuda(const RocitTreeAttentionArgs* args, const RocitCuda* cuda) {
  using namespace rocit::attention;
  const RocitTreeAttentionInputs& in = args->in;
  if (in.num_queries == 0 || in.num_heads == 0) return 0;
  Shape shape;
  if (!MakeShape(in, &shape)) return cudaErrorInvalidValue;
  const KeyBounds bounds = PlaceKeyBounds(in.num_keys, cuda->workspace);
  const RocitCudaStatus status = LaunchKeyBounds<kForwardKeys>(shape, bounds, cuda->stream);
  if (status != 0) return status;
  if (!FitsTensorCores(in) || !rocit::IsAligned16<rocit::Bf16>(args->out, 0)) {
    return AttendWithoutTensorCores(*args, shape, bounds, cuda->stream);
  }
  using rocit::Bf16;
  // A factor that is not 0 keeps the product with -inf.
  const float scale = fmaxf(fabsf(in.scale) * kLog2E, FLT_MIN);
  const ForwardArgs forward = {shape, bounds, scale, in.scale < 0, static_cast<const Bf16*>(in.q),
                               static_cast<const Bf16*>(in.k), static_cast<const Bf16*>(in.v),
                               static_cast<Bf16*>(args->out), args->lse};
  if (in.head_dim <= 32) return LaunchAttend<32>(forward, cuda->stream);
  if (in.head_dim <= 64) return LaunchAttend<64>(forward, cuda->stream);
  if (in.head_dim <= 96) return LaunchAttend<96>(forward, cuda->stream);
  return LaunchAttend<128>(forward, cuda->stream);
}
