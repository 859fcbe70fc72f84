// Backward of tree_attention on CUDA, without atomics: one kernel over tiles of keys sums dk and dv, one over tiles of
// rows dq, and both compute the scores and their slopes from q, k, v, dout and lse: seven products instead of five, and
// no sums of dq in memory, which would be read and written once a tile of keys. A block of keys meets the rows of all
// heads of a group, in order. Scores are transposed there, so that the weights a warp has are rows of its next product
// and never leave its registers. Bound by the tensor cores and by the shared memory that feeds them.
#include "tree_attention.h"

#include "attention_tiles.h"

namespace rocit {
namespace attention {
namespace {

struct GradArgs {
  Shape shape;
  KeyBounds bounds;
  float scale;
  const Bf16 *q, *k, *v, *dout;
  const float *lse, *delta;
  Bf16 *dq, *dk, *dv;
};

// delta: sixteen lanes a row of `out`.
template <class T, int kVec>
__global__ void __launch_bounds__(128) DotOutputs(int64_t rows, int64_t size, const T* dout, const T* out, float* delta) {
  constexpr int kLanes = 16;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / kLanes;
  float sum = 0.0f;
  for (int64_t at = lane * kVec; row < rows && at < size; at += kLanes * kVec) {
    const auto a = Vec<T, kVec>::Load(dout + row * size + at), b = Vec<T, kVec>::Load(out + row * size + at);
#pragma unroll
    for (int i = 0; i < kVec; ++i) sum = fmaf(ToFloat(a.at[i]), ToFloat(b.at[i]), sum);
  }
#pragma unroll
  for (int other = kLanes / 2; other > 0; other /= 2) sum += __shfl_xor_sync(kAllLanes, sum, other);
  if (lane == 0 && row < rows) delta[row] = sum;
}

// Which values of two blocks of scores a lane has: row and column of value i of block n.
__device__ __forceinline__ int RowOf(int i) { return static_cast<int>(threadIdx.x) % kWarpSize / 4 + i / 2 * 8; }
__device__ __forceinline__ int ColumnOf(int i) { return static_cast<int>(threadIdx.x) % 4 * 2 + i % 2; }

template <int kM, int kSize>
__device__ __forceinline__ void Scale(Sums<kM, kSize / 8>& sums, float factor) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kSize / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[m][n][i] *= factor;
    }
  }
}

// dk and dv of 128 keys of a key head.
template <int kSize>
struct Keys {
  static constexpr int kM = kSize <= 64 ? 2 : 1;  // blocks of 16 keys a warp
  static constexpr int kWarpKeys = 16 * kM, kTileKeys = 128;
  static constexpr int kThreads = kTileKeys / kWarpKeys * kWarpSize;
  static constexpr int kRows = 64, kStep = 32;  // rows a stage of shared memory, rows whose scores a warp has at a time
  static constexpr int kTile = kTileKeys * kStride<kSize>, kStage = kRows * kStride<kSize>;

  struct Facts {  // of the rows of a stage
    float shift[kRows], delta[kRows];  // -log2(e) lse, -inf behind the last row, which makes weights 0
    int32_t token[kRows];              // of the last row behind it
  };
  static constexpr size_t kSharedBytes =
      (2 * kTile + 4 * kStage) * sizeof(Bf16) + 2 * sizeof(Facts) + kTileKeys * sizeof(int32_t);
  static_assert(kSharedBytes <= 163 * 1024, "shared memory of sm_80");
};

// p = 2^(scale log2(e) s - log2(e) lse) and ds = p (dout . v - delta), both transposed: rows are keys.
template <bool kIsMasked, int kM, int kStep, class Facts>
__device__ __forceinline__ void PullColumns(Sums<kM, kStep / 8>& scores, Sums<kM, kStep / 8>& slopes, float scale,
                                            const Facts& facts, int first_row, int32_t first_key, const int32_t* ends) {
#pragma unroll
  for (int n = 0; n < kStep / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = first_row + n * 8 + ColumnOf(i);
      const float shift = facts.shift[row], delta = facts.delta[row];
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        const int key = m * 16 + RowOf(i);
        float weight = FastExp2(fmaf(scores[m][n][i], scale, shift));
        if (kIsMasked && !Sees(facts.token[row], first_key + key, ends[key])) weight = 0.0f;
        scores[m][n][i] = weight;
        slopes[m][n][i] = weight * (slopes[m][n][i] - delta);
      }
    }
  }
}

// A thread's share of what is known of the rows of a stage.
template <class Facts>
__device__ __forceinline__ void LoadFacts(const GradArgs& args, int32_t row, int32_t key_head, float* value,
                                          int32_t* token) {
  constexpr int kRows = sizeof(Facts::token) / sizeof(int32_t);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread >= 2 * kRows) return;
  const int32_t at = row + thread % kRows;
  const bool is_shift = thread < kRows;
  *value = is_shift ? -INFINITY : 0.0f;
  *token = args.shape.Token(min(at, args.shape.rows - 1));
  if (at >= args.shape.rows) return;
  const int64_t index = args.shape.RowIndex(at, key_head);
  *value = is_shift ? args.lse[index] * -kLog2E : args.delta[index];
}

template <class Facts>
__device__ __forceinline__ void StoreFacts(Facts* facts, float value, int32_t token) {
  constexpr int kRows = sizeof(Facts::token) / sizeof(int32_t);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kRows) {
    facts->shift[thread] = value;
    facts->token[thread] = token;
  } else if (thread < 2 * kRows) {
    facts->delta[thread - kRows] = value;
  }
}

template <int kSize>
__global__ void __launch_bounds__(Keys<kSize>::kThreads, Keys<kSize>::kM) PullKeys(GradArgs args) {
  using Plan = Keys<kSize>;
  using Facts = typename Plan::Facts;
  constexpr int kM = Plan::kM, kRows = Plan::kRows, kStep = Plan::kStep, kThreads = Plan::kThreads;
  const Shape& shape = args.shape;
  Bf16* k_tile = DynamicShared<Bf16>();
  Bf16* v_tile = k_tile + Plan::kTile;
  Bf16* stages = v_tile + Plan::kTile;  // q, dout, and the next rows of both
  Facts* facts = reinterpret_cast<Facts*>(stages + 4 * Plan::kStage);
  int32_t* ends = reinterpret_cast<int32_t*>(facts + 2);
  const int warp = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kWarpSize, 0);
  const int key_head = static_cast<int>(blockIdx.x);
  // The first keys are seen by most rows: they come first.
  const int32_t first_key = static_cast<int32_t>(blockIdx.y) * Plan::kTileKeys;
  const int32_t warp_key = first_key + warp * Plan::kWarpKeys;
  Bf16* warp_k = k_tile + warp * Plan::kWarpKeys * kStride<kSize>;
  Bf16* warp_v = v_tile + warp * Plan::kWarpKeys * kStride<kSize>;
  int32_t most = 0;
#pragma unroll
  for (int i = 0; i < Plan::kTileKeys / kPullKeys; ++i) most = max(most, args.bounds.tiles[first_key / kPullKeys + i].most);
  const TileBound bound = args.bounds.tiles[warp_key / kPullKeys];
  // Rows [begin, end) may see some of the keys.
  const int32_t begin = max(first_key - shape.query_start, 0) * shape.group;
  const int32_t end = min((most - shape.query_start) * shape.group, shape.rows);

  LoadKeys<Plan::kTileKeys, kSize, kThreads>(shape, {k_tile, v_tile}, {args.k, args.v}, first_key, key_head);
  LoadEnds<Plan::kTileKeys>(ends, args.bounds, first_key);
  float value = 0.0f;
  int32_t token = 0;
  if (begin < end) {
    LoadRows<kRows, kSize, kThreads>(shape, {stages, stages + Plan::kStage}, {args.q, args.dout}, begin, key_head);
    LoadFacts<Facts>(args, begin, key_head, &value, &token);
    StoreFacts(facts, value, token);
  }
  CopyAsyncCommit();
  float dk[kM][kSize / 8][4], dv[kM][kSize / 8][4];
  Clear<kM, kSize / 8>(dk);
  Clear<kM, kSize / 8>(dv);
  int stage = 0;
  for (int32_t row = begin; row < end; row += kRows, stage ^= 1) {
    const Bf16* q_rows = stages + stage * 2 * Plan::kStage;
    const Bf16* dout_rows = q_rows + Plan::kStage;
    Bf16* next_rows = stages + (stage ^ 1) * 2 * Plan::kStage;
    const bool has_next = row + kRows < end;
    // The rows are here, and no warp reads those before them.
    CopyAsyncWait<0>();
    __syncthreads();
    if (has_next) {
      LoadRows<kRows, kSize, kThreads>(shape, {next_rows, next_rows + Plan::kStage}, {args.q, args.dout}, row + kRows,
                                       key_head);
      LoadFacts<Facts>(args, row + kRows, key_head, &value, &token);
    }
    CopyAsyncCommit();
#pragma unroll 1
    for (int at = 0; at < kRows; at += kStep) {
      const Tokens tokens = {facts[stage].token[at], facts[stage].token[at + kStep - 1]};
      if (!tokens.See(warp_key, bound.most)) continue;
      float scores[kM][kStep / 8][4], slopes[kM][kStep / 8][4];
      MultiplyRows<kSize, kM, kStep / 8>(scores, warp_k, q_rows + at * kStride<kSize>);
      MultiplyRows<kSize, kM, kStep / 8>(slopes, warp_v, dout_rows + at * kStride<kSize>);
      const int32_t* warp_ends = ends + warp * Plan::kWarpKeys;
      if (tokens.SeeAll(warp_key + Plan::kWarpKeys, bound.least)) {
        PullColumns<false, kM, kStep>(scores, slopes, args.scale * kLog2E, facts[stage], at, warp_key, warp_ends);
      } else {
        PullColumns<true, kM, kStep>(scores, slopes, args.scale * kLog2E, facts[stage], at, warp_key, warp_ends);
      }
      AddWeighted<kSize, kM, kStep>(dv, scores, dout_rows + at * kStride<kSize>);
      AddWeighted<kSize, kM, kStep>(dk, slopes, q_rows + at * kStride<kSize>);
    }
    if (has_next) StoreFacts(facts + (stage ^ 1), value, token);
  }
  CopyAsyncWait<0>();
  __syncthreads();
  Scale<kM, kSize>(dk, args.scale);
  PutSums<kSize, kM>(warp_k, dk);
  PutSums<kSize, kM>(warp_v, dv);
  __syncwarp();
  const auto at = [&](int key) -> int64_t {
    return warp_key + key < shape.keys ? shape.KeyIndex(warp_key + key, key_head) : -1;
  };
  StoreTile<kSize, Plan::kWarpKeys>(args.dk, warp_k, shape.size, at);
  StoreTile<kSize, Plan::kWarpKeys>(args.dv, warp_v, shape.size, at);
}

// dq of 128 rows of a key head, 32 a warp.
template <int kSize>
struct Rows {
  static constexpr int kM = 2, kWarps = 4, kThreads = kWarps * kWarpSize, kWarpRows = 16 * kM;
  static constexpr int kTileRows = kWarps * kWarpRows, kKeys = kPullKeys;
  static constexpr int kTile = kTileRows * kStride<kSize>, kStage = kKeys * kStride<kSize>;
  static constexpr size_t kSharedBytes = (2 * kTile + 4 * kStage) * sizeof(Bf16) +
                                         (2 * kKeys + kTileRows) * sizeof(int32_t) + (kWarps + 1) * sizeof(Tokens);
};

// scores become ds.
template <bool kIsMasked, int kM, int kKeys>
__device__ __forceinline__ void PullLines(Sums<kM, kKeys / 8>& scores, const Sums<kM, kKeys / 8>& slopes, float scale,
                                          const float (&shift)[kM][2], const float (&delta)[kM][2], const int32_t* tokens,
                                          int32_t first_key, const int32_t* ends) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
        const int key = n * 8 + ColumnOf(i);
        float weight = FastExp2(fmaf(scores[m][n][i], scale, shift[m][i / 2]));
        if (kIsMasked && !Sees(tokens[m * 16 + RowOf(i)], first_key + key, ends[key])) weight = 0.0f;
        scores[m][n][i] = weight * (slopes[m][n][i] - delta[m][i / 2]);
      }
    }
  }
}

template <int kSize>
__global__ void __launch_bounds__(Rows<kSize>::kThreads, 2) PullRows(GradArgs args) {
  using Plan = Rows<kSize>;
  constexpr int kM = Plan::kM, kKeys = Plan::kKeys, kThreads = Plan::kThreads;
  const Shape& shape = args.shape;
  Bf16* q_tile = DynamicShared<Bf16>();
  Bf16* dout_tile = q_tile + Plan::kTile;
  Bf16* stages = dout_tile + Plan::kTile;  // k, v, and the next keys' of both
  int32_t* ends = reinterpret_cast<int32_t*>(stages + 4 * Plan::kStage);
  int32_t* row_tokens = ends + 2 * kKeys;
  Tokens* warp_tokens = reinterpret_cast<Tokens*>(row_tokens + Plan::kTileRows);
  const Tokens* tokens = warp_tokens + Plan::kWarps;
  const int warp = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kWarpSize, 0);
  const int key_head = static_cast<int>(blockIdx.x);
  const int32_t first_row = static_cast<int32_t>(gridDim.y - 1 - blockIdx.y) * Plan::kTileRows;
  const int32_t warp_row = first_row + warp * Plan::kWarpRows;
  Bf16* warp_q = q_tile + warp * Plan::kWarpRows * kStride<kSize>;
  const Bf16* warp_dout = dout_tile + warp * Plan::kWarpRows * kStride<kSize>;
  PlaceTokens<Plan::kWarps, Plan::kWarpRows>(shape, first_row, row_tokens, warp_tokens);
  __syncthreads();

  const auto load = [&](int tile, int stage) {
    if (tile < 0) return;
    Bf16* to = stages + stage * 2 * Plan::kStage;
    LoadKeys<kKeys, kSize, kThreads>(shape, {to, to + Plan::kStage}, {args.k, args.v}, tile * kKeys, key_head);
    LoadEnds<kKeys>(ends + stage * kKeys, args.bounds, tile * kKeys);
  };
  LoadRows<Plan::kTileRows, kSize, kThreads>(shape, {q_tile, dout_tile}, {args.q, args.dout}, first_row, key_head);
  int tile = NextTile<kKeys>(args.bounds, tokens->first, tokens->last, -1), stage = 0;
  load(tile, stage);
  CopyAsyncCommit();
  float shift[kM][2], delta[kM][2], dq[kM][kSize / 8][4];
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int32_t row = min(warp_row + m * 16 + RowOf(half * 2), shape.rows - 1);
      const int64_t index = shape.RowIndex(row, key_head);
      shift[m][half] = args.lse[index] * -kLog2E;
      delta[m][half] = args.delta[index];
    }
  }
  Clear<kM, kSize / 8>(dq);
  while (tile >= 0) {
    const int32_t first_key = tile * kKeys;
    const Bf16* k_tile = stages + stage * 2 * Plan::kStage;
    // The keys are here, and no warp reads those before them.
    CopyAsyncWait<0>();
    __syncthreads();
    const TileBound bound = args.bounds.tiles[tile];
    tile = NextTile<kKeys>(args.bounds, tokens->first, tokens->last, tile);
    load(tile, stage ^ 1);
    CopyAsyncCommit();
    if (warp_tokens[warp].See(first_key, bound.most)) {
      float scores[kM][kKeys / 8][4], slopes[kM][kKeys / 8][4];
      MultiplyRows<kSize, kM, kKeys / 8>(scores, warp_q, k_tile);
      MultiplyRows<kSize, kM, kKeys / 8>(slopes, warp_dout, k_tile + Plan::kStage);
      const int32_t *own_tokens = row_tokens + warp * Plan::kWarpRows, *own_ends = ends + stage * kKeys;
      const float scale = args.scale * kLog2E;
      if (warp_tokens[warp].SeeAll(first_key + kKeys, bound.least)) {
        PullLines<false, kM, kKeys>(scores, slopes, scale, shift, delta, own_tokens, first_key, own_ends);
      } else {
        PullLines<true, kM, kKeys>(scores, slopes, scale, shift, delta, own_tokens, first_key, own_ends);
      }
      AddWeighted<kSize, kM, kKeys>(dq, scores, k_tile);
    }
    stage ^= 1;
  }
  CopyAsyncWait<0>();
  __syncthreads();
  Scale<kM, kSize>(dq, args.scale);
  PutSums<kSize, kM>(warp_q, dq);
  __syncwarp();
  StoreTile<kSize, Plan::kWarpRows>(args.dq, warp_q, shape.size, [&](int row) -> int64_t {
    return warp_row + row < shape.rows ? shape.RowIndex(warp_row + row, key_head) : -1;
  });
}

template <int kSize>
RocitCudaStatus LaunchPull(const GradArgs& args, void* stream) {
  const unsigned heads = static_cast<unsigned>(args.shape.key_heads);
  const unsigned key_tiles = static_cast<unsigned>(CeilDivide(args.shape.keys, Keys<kSize>::kTileKeys));
  const unsigned row_tiles = static_cast<unsigned>(CeilDivide(args.shape.rows, Rows<kSize>::kTileRows));
  const RocitCudaStatus status = Launch(PullKeys<kSize>, dim3(heads, key_tiles), dim3(Keys<kSize>::kThreads),
                                        Keys<kSize>::kSharedBytes, stream, args);
  if (status != 0) return status;
  return Launch(PullRows<kSize>, dim3(heads, row_tiles), dim3(Rows<kSize>::kThreads), Rows<kSize>::kSharedBytes, stream,
                args);
}

template <class T>
RocitCudaStatus LaunchDot(const RocitTreeAttentionGradArgs& args, float* delta, void* stream) {
  const int64_t rows = args.in.num_queries * args.in.num_heads, size = args.in.head_dim;
  const T *dout = static_cast<const T*>(args.dout), *out = static_cast<const T*>(args.out);
  const dim3 grid(static_cast<unsigned>(CeilDivide(rows, 8))), block(128);
  if (IsAligned16<T>(dout, size) && IsAligned16<T>(out, size)) {
    return Launch(DotOutputs<T, kWidest<T>>, grid, block, 0, stream, rows, size, dout, out, delta);
  }
  return Launch(DotOutputs<T, 1>, grid, block, 0, stream, rows, size, dout, out, delta);
}

bool GradFitsTensorCores(const RocitTreeAttentionGradArgs& args) {
  return FitsTensorCores(args.in) && IsAligned16<Bf16>(args.dout, 0) && IsAligned16<Bf16>(args.dq, 0) &&
         IsAligned16<Bf16>(args.dk, 0) && IsAligned16<Bf16>(args.dv, 0);
}

RocitCudaStatus PullOnTensorCores(const RocitTreeAttentionGradArgs& args, const Shape& shape, const KeyBounds& bounds,
                                  const float* delta, void* stream) {
  const RocitTreeAttentionInputs& in = args.in;
  const GradArgs grad = {shape, bounds, in.scale, static_cast<const Bf16*>(in.q), static_cast<const Bf16*>(in.k),
                         static_cast<const Bf16*>(in.v), static_cast<const Bf16*>(args.dout), args.lse, delta,
                         static_cast<Bf16*>(args.dq), static_cast<Bf16*>(args.dk), static_cast<Bf16*>(args.dv)};
  if (in.head_dim <= 32) return LaunchPull<32>(grad, stream);
  if (in.head_dim <= 64) return LaunchPull<64>(grad, stream);
  if (in.head_dim <= 96) return LaunchPull<96>(grad, stream);
  return LaunchPull<128>(grad, stream);
}

}  // namespace
}  // namespace attention
}  // namespace rocit

// delta, then the bounds of the keys, on a multiple of 256 bytes.
static int64_t DeltaBytes(const RocitTreeAttentionInputs& in) {
  return rocit::attention::CeilDivide(in.num_queries * in.num_heads * static_cast<int64_t>(sizeof(float)), 256) * 256;
}

int64_t rocit_tree_attention_grad_cuda_workspace(const RocitTreeAttentionInputs* in) {
  return DeltaBytes(*in) + rocit::attention::KeyBoundsBytes(in->num_keys, rocit::attention::kPullKeys);
}

RocitCudaStatus rocit_tree_attention_grad_cuda(const RocitTreeAttentionGradArgs* args, const RocitCuda* cuda) {
  using namespace rocit::attention;
  const RocitTreeAttentionInputs& in = args->in;
  if (in.num_keys == 0 || in.num_key_value_heads == 0 || in.head_dim == 0) return 0;
  Shape shape;
  if (!MakeShape(in, &shape)) return cudaErrorInvalidValue;
  float* delta = static_cast<float*>(cuda->workspace);
  const KeyBounds bounds = PlaceKeyBounds(in.num_keys, static_cast<char*>(cuda->workspace) + DeltaBytes(in));
  const bool fits = GradFitsTensorCores(*args);
  RocitCudaStatus status = in.dtype == ROCIT_FLOAT32 ? LaunchDot<float>(*args, delta, cuda->stream)
                                                     : LaunchDot<rocit::Bf16>(*args, delta, cuda->stream);
  if (status != 0) return status;
  status = fits ? LaunchKeyBounds<kPullKeys>(shape, bounds, cuda->stream)
                : LaunchKeyBounds<kForwardKeys>(shape, bounds, cuda->stream);
  if (status != 0) return status;
  if (fits) return PullOnTensorCores(*args, shape, bounds, delta, cuda->stream);
  return PullWithoutTensorCores(*args, shape, bounds, delta, cuda->stream);
}
