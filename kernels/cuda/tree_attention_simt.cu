// tree_attention on CUDA without tensor cores: float32, and bfloat16 with heads that these cannot take. Tiles of 64 rows
// by 64 keys, 4 x 4 sums a thread; products with values, q, k or dout have a slice of 64 or 128 columns a block, so that
// any head size fits and scores are computed once a slice. Same order of sums in every run. Bound by multiply-adds.
#include "tree_attention.h"

#include "attention_tiles.h"

namespace rocit {
namespace attention {
namespace {

constexpr int kTile = 64, kThreads = 256, kWidth = 16;  // kWidth x kWidth threads
constexpr int kDepth = 16;     // of a product at a time
constexpr int kTileStride = kTile + 8;  // so that 8 rows by 4 columns are 32 banks
static_assert(kTile == kForwardKeys, "tiles whose bounds are known");

// Shared memory of a block.
struct Room {
  float left[kDepth * kTileStride], right[kDepth * kTileStride];  // or kDepth rows of a slice over both
};
static_assert(sizeof(Room) >= kDepth * 128 * sizeof(float), "a slice fits");
constexpr int kWeights = kTile * kTileStride;

__device__ __forceinline__ int Upper() { return static_cast<int>(threadIdx.x) / kWidth * 4; }  // the first of 4 rows
__device__ __forceinline__ int Left() { return static_cast<int>(threadIdx.x) % kWidth * 4; }   // the first of 4 columns

// Rows and keys of a tensor: index of number n of a tile, -1 where there is none.
struct RowsAt {
  const Shape& shape;
  int32_t first, key_head;
  __device__ __forceinline__ int64_t operator()(int n) const {
    return first + n < shape.rows ? shape.RowIndex(first + n, key_head) : -1;
  }
};
struct KeysAt {
  const Shape& shape;
  int32_t first, key_head;
  __device__ __forceinline__ int64_t operator()(int n) const {
    return first + n < shape.keys ? shape.KeyIndex(first + n, key_head) : -1;
  }
};

// Columns [from_column, + kDepth) of a tile as rows of `to`. A warp takes 8 rows.
template <class T, class At>
__device__ __forceinline__ void LoadTransposed(float* to, const T* from, const At& at, int size, int from_column) {
  const int thread = static_cast<int>(threadIdx.x), row = thread / 4;
  const int64_t index = at(row);
#pragma unroll
  for (int n = 0; n < kDepth; n += 4) {
    const int column = n + thread % 4;
    const bool is_inside = index >= 0 && from_column + column < size;
    to[column * kTileStride + row] = is_inside ? ToFloat(from[index * size + from_column + column]) : 0.0f;
  }
}

// Rows [first, + kDepth) of a tile, columns [from_column, + kSlice).
template <int kSlice, class T, class At>
__device__ __forceinline__ void LoadSlice(float* to, const T* from, const At& at, int size, int first, int from_column) {
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kDepth * kSlice; i += kThreads) {
    const int64_t index = at(first + i / kSlice);
    const int column = from_column + i % kSlice;
    to[i] = index >= 0 && column < size ? ToFloat(from[index * size + column]) : 0.0f;
  }
}

// sums += a b over kDepth: a [kDepth, 64], b [kDepth, 64 kParts].
template <int kParts>
__device__ __forceinline__ void AddProducts(float (&sums)[kParts][4][4], const float* a, const float* b, int b_stride) {
#pragma unroll
  for (int k = 0; k < kDepth; ++k) {
    const auto x = Vec<float, 4>::Load(a + k * kTileStride + Upper());
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const auto y = Vec<float, 4>::Load(b + k * b_stride + part * kTile + Left());
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[part][i][j] = fmaf(x.at[i], y.at[j], sums[part][i][j]);
      }
    }
  }
}

template <int kParts>
__device__ __forceinline__ void ClearParts(float (&sums)[kParts][4][4]) {
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) sums[part][i][j] = 0.0f;
    }
  }
}

// sums = a bᵀ over whole heads. Ends with a barrier.
template <class T, class A, class B>
__device__ __forceinline__ void MultiplyHeads(float (&sums)[1][4][4], Room* room, const T* a, const A& a_at, const T* b,
                                              const B& b_at, int size) {
  ClearParts(sums);
  for (int column = 0; column < size; column += kDepth) {
    LoadTransposed(room->left, a, a_at, size, column);
    LoadTransposed(room->right, b, b_at, size, column);
    __syncthreads();
    AddProducts<1>(sums, room->left, room->right, kTileStride);
    __syncthreads();
  }
}

// sums += w b: w [64, 64] in shared memory, its rows are rows of b; a slice of the columns of b. A barrier comes before w
// is read, and at the end.
template <int kParts, class T, class At>
__device__ __forceinline__ void AddWeightedSlice(float (&sums)[kParts][4][4], Room* room, const float* w, const T* b,
                                                 const At& at, int size, int from_column) {
  for (int k = 0; k < kTile; k += kDepth) {
    LoadSlice<kParts * kTile>(room->left, b, at, size, k, from_column);
    __syncthreads();
    AddProducts<kParts>(sums, w + k * kTileStride, room->left, kParts * kTile);
    __syncthreads();
  }
}

// Row i of a thread's sums, times factor, to a row of a tensor.
template <int kParts, class T>
__device__ __forceinline__ void StoreSums(T* to, const float (&sums)[kParts][4][4], int i, float factor, int size,
                                          int from_column) {
#pragma unroll
  for (int part = 0; part < kParts; ++part) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int column = from_column + part * kTile + Left() + j;
      if (column < size) to[column] = FromFloat<T>(sums[part][i][j] * factor);
    }
  }
}

// Over the sixteen threads of a row.
template <class Join>
__device__ __forceinline__ float OfRow(float value, const Join& join) {
#pragma unroll
  for (int other = kWidth / 2; other > 0; other /= 2) value = join(value, __shfl_xor_sync(kAllLanes, value, other));
  return value;
}

template <class T>
struct ForwardArgs {
  Shape shape;
  KeyBounds bounds;
  float scale;  // times log2(e)
  const T *q, *k, *v;
  T* out;
  float* lse;
};

template <class T, int kParts>
__global__ void __launch_bounds__(kThreads) AttendPlain(ForwardArgs<T> args) {
  ROCIT_SHARED Room room[1];
  ROCIT_SHARED float weights[kWeights];  // [keys, rows]
  const Shape& shape = args.shape;
  const int32_t key_head = static_cast<int32_t>(blockIdx.x);
  const int32_t first_row = static_cast<int32_t>(gridDim.y - 1 - blockIdx.y) * kTile;
  const int from_column = static_cast<int>(blockIdx.z) * kParts * kTile;
  const Tokens tokens = Tokens::Of(shape, first_row, kTile);
  const RowsAt rows = {shape, first_row, key_head};
  int32_t token[4];
  float top[4], sum[4], out[kParts][4][4];
  ClearParts(out);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    token[i] = shape.Token(min(first_row + Upper() + i, shape.rows - 1));
    top[i] = -INFINITY;
    sum[i] = 0.0f;
  }
  for (int tile = NextTile<kTile>(args.bounds, tokens.first, tokens.last, -1); tile >= 0;
       tile = NextTile<kTile>(args.bounds, tokens.first, tokens.last, tile)) {
    const KeysAt keys = {shape, tile * kTile, key_head};
    float scores[1][4][4];
    MultiplyHeads(scores, room, args.q, rows, args.k, keys, shape.size);
    int32_t ends[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) ends[j] = args.bounds.ends[tile * kTile + Left() + j];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float most = top[i];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const bool sees = Sees(token[i], tile * kTile + Left() + j, ends[j]);
        scores[0][i][j] = sees ? scores[0][i][j] * args.scale : -INFINITY;
        most = fmaxf(most, scores[0][i][j]);
      }
      most = OfRow(most, [](float a, float b) { return fmaxf(a, b); });
      const float base = most == -INFINITY ? 0.0f : most, down = exp2f(top[i] - base);
      float added = 0.0f;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        scores[0][i][j] = exp2f(scores[0][i][j] - base);
        added += scores[0][i][j];
      }
      top[i] = most;
      sum[i] = fmaf(sum[i], down, added);
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
#pragma unroll
        for (int j = 0; j < 4; ++j) out[part][i][j] *= down;
      }
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const Vec<float, 4> column = {{scores[0][0][j], scores[0][1][j], scores[0][2][j], scores[0][3][j]}};
      column.Store(weights + (Left() + j) * kTileStride + Upper());
    }
    AddWeightedSlice<kParts>(out, room, weights, args.v, keys, shape.size, from_column);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float total = OfRow(sum[i], [](float a, float b) { return a + b; });
    const int64_t index = rows(Upper() + i);
    if (index < 0) continue;
    if (Left() == 0 && from_column == 0) args.lse[index] = fmaf(top[i], kLn2, logf(total));
    StoreSums<kParts>(args.out + index * shape.size, out, i, 1.0f / total, shape.size, from_column);
  }
}

template <class T>
struct GradArgs {
  Shape shape;
  KeyBounds bounds;
  float scale;
  const T *q, *k, *v, *dout;
  const float *lse, *delta;
  T *dq, *dk, *dv;
};

// p and ds of a tile, in place of scores and slopes; zero where there is no row.
template <class T>
__device__ __forceinline__ void PullTile(const GradArgs<T>& args, const RowsAt& rows, int32_t first_key,
                                         float (&scores)[1][4][4], float (&slopes)[1][4][4]) {
  int32_t ends[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) ends[j] = args.bounds.ends[first_key + Left() + j];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t index = rows(Upper() + i);
    const int32_t token = index >= 0 ? args.shape.Token(rows.first + Upper() + i) : -1;
    const float shift = index >= 0 ? args.lse[index] * kLog2E : 0.0f, delta = index >= 0 ? args.delta[index] : 0.0f;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const bool sees = Sees(token, first_key + Left() + j, ends[j]);
      const float weight = sees ? exp2f(fmaf(scores[0][i][j], args.scale * kLog2E, -shift)) : 0.0f;
      scores[0][i][j] = weight;
      slopes[0][i][j] = weight * (slopes[0][i][j] - delta);
    }
  }
}

template <class T, int kParts>
__global__ void __launch_bounds__(kThreads) PullKeysPlain(GradArgs<T> args) {
  ROCIT_SHARED Room room[1];
  ROCIT_SHARED float weights[kWeights], pulls[kWeights];  // [rows, keys]
  const Shape& shape = args.shape;
  const int32_t key_head = static_cast<int32_t>(blockIdx.x), tile = static_cast<int32_t>(blockIdx.y);
  const int from_column = static_cast<int>(blockIdx.z) * kParts * kTile;
  const KeysAt keys = {shape, tile * kTile, key_head};
  const int32_t begin = max(tile * kTile - shape.query_start, 0) * shape.group;
  const int32_t end = min((args.bounds.tiles[tile].most - shape.query_start) * shape.group, shape.rows);
  float dk[kParts][4][4], dv[kParts][4][4];
  ClearParts(dk);
  ClearParts(dv);
  for (int32_t row = begin; row < end; row += kTile) {
    const RowsAt rows = {shape, row, key_head};
    float scores[1][4][4], slopes[1][4][4];
    MultiplyHeads(scores, room, args.q, rows, args.k, keys, shape.size);
    MultiplyHeads(slopes, room, args.dout, rows, args.v, keys, shape.size);
    PullTile(args, rows, tile * kTile, scores, slopes);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int at = (Upper() + i) * kTileStride + Left();
      Vec<float, 4>{{scores[0][i][0], scores[0][i][1], scores[0][i][2], scores[0][i][3]}}.Store(weights + at);
      Vec<float, 4>{{slopes[0][i][0], slopes[0][i][1], slopes[0][i][2], slopes[0][i][3]}}.Store(pulls + at);
    }
    AddWeightedSlice<kParts>(dv, room, weights, args.dout, rows, shape.size, from_column);
    AddWeightedSlice<kParts>(dk, room, pulls, args.q, rows, shape.size, from_column);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t index = keys(Upper() + i);
    if (index < 0) continue;
    StoreSums<kParts>(args.dk + index * shape.size, dk, i, args.scale, shape.size, from_column);
    StoreSums<kParts>(args.dv + index * shape.size, dv, i, 1.0f, shape.size, from_column);
  }
}

template <class T, int kParts>
__global__ void __launch_bounds__(kThreads) PullRowsPlain(GradArgs<T> args) {
  ROCIT_SHARED Room room[1];
  ROCIT_SHARED float pulls[kWeights];  // [keys, rows]
  const Shape& shape = args.shape;
  const int32_t key_head = static_cast<int32_t>(blockIdx.x);
  const int32_t first_row = static_cast<int32_t>(gridDim.y - 1 - blockIdx.y) * kTile;
  const int from_column = static_cast<int>(blockIdx.z) * kParts * kTile;
  const Tokens tokens = Tokens::Of(shape, first_row, kTile);
  const RowsAt rows = {shape, first_row, key_head};
  float dq[kParts][4][4];
  ClearParts(dq);
  for (int tile = NextTile<kTile>(args.bounds, tokens.first, tokens.last, -1); tile >= 0;
       tile = NextTile<kTile>(args.bounds, tokens.first, tokens.last, tile)) {
    const KeysAt keys = {shape, tile * kTile, key_head};
    float scores[1][4][4], slopes[1][4][4];
    MultiplyHeads(scores, room, args.q, rows, args.k, keys, shape.size);
    MultiplyHeads(slopes, room, args.dout, rows, args.v, keys, shape.size);
    PullTile(args, rows, tile * kTile, scores, slopes);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const Vec<float, 4> column = {{slopes[0][0][j], slopes[0][1][j], slopes[0][2][j], slopes[0][3][j]}};
      column.Store(pulls + (Left() + j) * kTileStride + Upper());
    }
    AddWeightedSlice<kParts>(dq, room, pulls, args.k, keys, shape.size, from_column);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t index = rows(Upper() + i);
    if (index >= 0) StoreSums<kParts>(args.dq + index * shape.size, dq, i, args.scale, shape.size, from_column);
  }
}

// A block for each tile of `count` rows or keys, and each slice.
template <int kParts>
dim3 Blocks(const Shape& shape, int64_t count) {
  return dim3(static_cast<unsigned>(shape.key_heads), static_cast<unsigned>(CeilDivide(count, kTile)),
              static_cast<unsigned>(shape.size > 0 ? CeilDivide(shape.size, kParts * kTile) : 1));
}

template <class T>
RocitCudaStatus LaunchAttend(const RocitTreeAttentionArgs& args, const Shape& shape, const KeyBounds& bounds,
                             void* stream) {
  const RocitTreeAttentionInputs& in = args.in;
  const ForwardArgs<T> forward = {shape, bounds, in.scale * kLog2E, static_cast<const T*>(in.q),
                                  static_cast<const T*>(in.k), static_cast<const T*>(in.v),
                                  static_cast<T*>(args.out), args.lse};
  if (shape.size <= kTile) {
    return Launch(AttendPlain<T, 1>, Blocks<1>(shape, shape.rows), dim3(kThreads), 0, stream, forward);
  }
  return Launch(AttendPlain<T, 2>, Blocks<2>(shape, shape.rows), dim3(kThreads), 0, stream, forward);
}

template <class T, int kParts>
RocitCudaStatus LaunchPull(const GradArgs<T>& args, void* stream) {
  const Shape& shape = args.shape;
  const RocitCudaStatus status =
      Launch(PullKeysPlain<T, kParts>, Blocks<kParts>(shape, shape.keys), dim3(kThreads), 0, stream, args);
  if (status != 0) return status;
  return Launch(PullRowsPlain<T, kParts>, Blocks<kParts>(shape, shape.rows), dim3(kThreads), 0, stream, args);
}

template <class T>
RocitCudaStatus LaunchPullAny(const RocitTreeAttentionGradArgs& args, const Shape& shape, const KeyBounds& bounds,
                              const float* delta, void* stream) {
  const RocitTreeAttentionInputs& in = args.in;
  const GradArgs<T> grad = {shape, bounds, in.scale, static_cast<const T*>(in.q), static_cast<const T*>(in.k),
                            static_cast<const T*>(in.v), static_cast<const T*>(args.dout), args.lse, delta,
                            static_cast<T*>(args.dq), static_cast<T*>(args.dk), static_cast<T*>(args.dv)};
  return shape.size <= kTile ? LaunchPull<T, 1>(grad, stream) : LaunchPull<T, 2>(grad, stream);
}

}  // namespace

RocitCudaStatus AttendWithoutTensorCores(const RocitTreeAttentionArgs& args, const Shape& shape, const KeyBounds& bounds,
                                         void* stream) {
  return args.in.dtype == ROCIT_FLOAT32 ? LaunchAttend<float>(args, shape, bounds, stream)
                                        : LaunchAttend<Bf16>(args, shape, bounds, stream);
}

RocitCudaStatus PullWithoutTensorCores(const RocitTreeAttentionGradArgs& args, const Shape& shape,
                                       const KeyBounds& bounds, const float* delta, void* stream) {
  return args.in.dtype == ROCIT_FLOAT32 ? LaunchPullAny<float>(args, shape, bounds, delta, stream)
                                        : LaunchPullAny<Bf16>(args, shape, bounds, delta, stream);
}

}  // namespace attention
}  // namespace rocit
