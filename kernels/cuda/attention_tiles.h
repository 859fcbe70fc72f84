// What the kernels of tree_attention share on CUDA: rows, the tiles of keys that they see, tiles of bfloat16 in shared
// memory and their products on the tensor cores.
// Rows: the heads of a query that read one key head are rows of one matrix, query by query: row r of key head c is query
// r / group, head c * group + r % group. So keys are read once for all of them, and dk and dv are sums inside a block.
#ifndef ROCIT_CUDA_ATTENTION_TILES_H_
#define ROCIT_CUDA_ATTENTION_TILES_H_

#include "device.h"
#include "mma.h"
#include "tree_attention.h"

namespace rocit {
namespace attention {

inline constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

// The sizes of a call, as the kernels take them.
struct Shape {
  int32_t rows, keys, key_heads, group, size;  // rows of a key head; size of a head
  int32_t query_start, num_heads;
  const int32_t* subtree_end;

  __device__ __forceinline__ int32_t Token(int32_t row) const { return query_start + row / group; }
  // Index of a row in an array [N, H].
  __device__ __forceinline__ int64_t RowIndex(int32_t row, int32_t key_head) const {
    return static_cast<int64_t>(row / group) * num_heads + key_head * group + row % group;
  }
  // Index of a key in an array [S, K].
  __device__ __forceinline__ int64_t KeyIndex(int32_t key, int32_t key_head) const {
    return static_cast<int64_t>(key) * key_heads + key_head;
  }
};

// Whether tiles of 64 rows and of 64 keys can be blocks in one dimension of a grid, and indices have 32 bits.
inline bool MakeShape(const RocitTreeAttentionInputs& in, Shape* shape) {
  constexpr int64_t kMost = 65535 * 64;
  const int64_t group = in.num_key_value_heads > 0 ? in.num_heads / in.num_key_value_heads : 0;
  if (in.num_keys > kMost || in.num_queries * group > kMost || in.num_heads > kMost || in.head_dim > kMost) return false;
  *shape = {static_cast<int32_t>(in.num_queries * group), static_cast<int32_t>(in.num_keys),
            static_cast<int32_t>(in.num_key_value_heads), static_cast<int32_t>(group),
            static_cast<int32_t>(in.head_dim), static_cast<int32_t>(in.query_start),
            static_cast<int32_t>(in.num_heads), in.subtree_end};
  return true;
}

__host__ __device__ constexpr int64_t CeilDivide(int64_t value, int64_t by) { return (value + by - 1) / by; }

// The largest and the smallest subtree_end of a tile of keys; the smallest is 0 where the tile is not whole.
struct TileBound {
  int32_t most, least;
};

// What is known of the keys before the kernels run, in the workspace: subtree_end, 0 behind the last key, for whole tiles;
// and the bounds of the tiles.
struct KeyBounds {
  int32_t* ends;
  TileBound* tiles;
};

// Tiles begin on multiples of so many keys at most.
inline constexpr int kMostKeys = 128;

inline int64_t KeyBoundsBytes(int64_t keys, int tile_keys) {
  const int64_t padded = CeilDivide(keys, kMostKeys) * kMostKeys;
  return padded * static_cast<int64_t>(sizeof(int32_t)) + padded / tile_keys * static_cast<int64_t>(sizeof(TileBound));
}

inline KeyBounds PlaceKeyBounds(int64_t keys, void* workspace) {
  int32_t* ends = static_cast<int32_t*>(workspace);
  return {ends, reinterpret_cast<TileBound*>(ends + CeilDivide(keys, kMostKeys) * kMostKeys)};
}

// One warp a tile.
template <int kKeys>
__global__ void FindKeyBounds(Shape shape, KeyBounds bounds) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize, lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int tile = static_cast<int>(blockIdx.x * blockDim.x) / kWarpSize + warp;
  if (tile >= CeilDivide(shape.keys, kMostKeys) * (kMostKeys / kKeys)) return;
  int32_t most = 0, least = INT32_MAX;
#pragma unroll
  for (int i = lane; i < kKeys; i += kWarpSize) {
    const int32_t key = tile * kKeys + i, end = key < shape.keys ? min(shape.subtree_end[key], shape.keys) : 0;
    bounds.ends[key] = end;
    most = max(most, end);
    least = min(least, end);
  }
#pragma unroll
  for (int other = kWarpSize / 2; other > 0; other /= 2) {
    most = max(most, __shfl_xor_sync(kAllLanes, most, other));
    least = min(least, __shfl_xor_sync(kAllLanes, least, other));
  }
  if (lane == 0) bounds.tiles[tile] = {most, least};
}

template <int kKeys>
RocitCudaStatus LaunchKeyBounds(const Shape& shape, const KeyBounds& bounds, void* stream) {
  constexpr int kWarps = 4;
  const int64_t tiles = CeilDivide(shape.keys, kMostKeys) * (kMostKeys / kKeys);
  return Launch(FindKeyBounds<kKeys>, dim3(static_cast<unsigned>(CeilDivide(tiles, kWarps))), dim3(kWarps * kWarpSize), 0,
                stream, shape, bounds);
}

// The ends of the keys from first_key on, at once with the copies of the next group.
template <int kKeys>
__device__ __forceinline__ void LoadEnds(int32_t* shared, const KeyBounds& bounds, int32_t first_key) {
  const int at = static_cast<int>(threadIdx.x) * 4;
  if (at < kKeys) CopyAsync16(shared + at, bounds.ends + first_key + at, true);
}

// The next tile of keys behind `tile` that some token of [first, last] sees, or -1; the same for all threads of a block.
template <int kKeys>
__device__ __forceinline__ int NextTile(const KeyBounds& bounds, int32_t first, int32_t last, int tile) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  for (int base = tile + 1; base * kKeys <= last; base += kWarpSize) {
    const int at = base + lane;
    const unsigned seen = __ballot_sync(kAllLanes, at * kKeys <= last && bounds.tiles[at].most > first);
    if (seen != 0) return base + __ffs(static_cast<int>(seen)) - 1;
  }
  return -1;
}

// Tokens [first, last] of some rows.
struct Tokens {
  int32_t first, last;

  // Rows [begin, begin + count) that there are; an empty range sees nothing.
  static __device__ __forceinline__ Tokens Of(const Shape& shape, int32_t begin, int32_t count) {
    if (begin >= shape.rows) return {INT32_MAX, -1};
    return {shape.Token(begin), shape.Token(min(begin + count, shape.rows) - 1)};
  }
  // Whether some of them may see a key of [begin, ...) whose largest bound is `most`.
  __device__ __forceinline__ bool See(int32_t begin, int32_t most) const { return begin <= last && most > first; }
  // Whether all see all keys of [..., end) with bounds from `least` on.
  __device__ __forceinline__ bool SeeAll(int32_t end, int32_t least) const { return end - 1 <= first && least > last; }
};

// Of a tile of rows: the tokens of each row, of each warp, and behind these of the block. They are kept in shared memory,
// where they cost no registers. A barrier must follow.
template <int kWarps, int kWarpRows>
__device__ __forceinline__ void PlaceTokens(const Shape& shape, int32_t first_row, int32_t* row_tokens,
                                            Tokens* warp_tokens) {
  static_assert(kWarpRows == kWarpSize, "a thread a row");
  const int thread = static_cast<int>(threadIdx.x);
  row_tokens[thread] = shape.Token(min(first_row + thread, shape.rows - 1));
  if (thread < kWarps) warp_tokens[thread] = Tokens::Of(shape, first_row + thread * kWarpRows, kWarpRows);
  if (thread == kWarps) warp_tokens[thread] = Tokens::Of(shape, first_row, kWarps * kWarpRows);
}

__device__ __forceinline__ bool Sees(int32_t token, int32_t key, int32_t end) { return key <= token && token < end; }

// Tiles of bfloat16 in shared memory: rows of kSize values and 16 bytes that shift the banks, so that eight rows of a
// column of matrices lie in different ones.

template <int kSize>
inline constexpr int kStride = kSize + 8;

// Row r of tile n from `from[n] + at(r) * size`, zeros where at(r) < 0 and in columns from `size` on. Not unrolled: the
// addresses would take the registers of sums.
template <int kRows, int kSize, int kThreads, int kTiles, class At>
__device__ __forceinline__ void LoadTiles(Bf16* const (&tiles)[kTiles], const Bf16* const (&from)[kTiles], int32_t size,
                                          const At& at) {
  constexpr int kPieces = kSize / 8;
  static_assert(kRows * kPieces % kThreads == 0, "every thread copies as much");
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += kThreads) {
    const int row = i / kPieces, column = i % kPieces * 8;
    const int64_t index = at(row);
    const bool is_valid = index >= 0 && column < size;
    const int64_t offset = is_valid ? index * size + column : 0;
#pragma unroll
    for (int n = 0; n < kTiles; ++n) CopyAsync16(tiles[n] + row * kStride<kSize> + column, from[n] + offset, is_valid);
  }
}

template <int kRows, int kSize, int kThreads, int kTiles>
__device__ __forceinline__ void LoadRows(const Shape& shape, Bf16* const (&tiles)[kTiles],
                                         const Bf16* const (&from)[kTiles], int32_t first, int32_t key_head) {
  LoadTiles<kRows, kSize, kThreads>(tiles, from, shape.size, [&](int row) -> int64_t {
    return first + row < shape.rows ? shape.RowIndex(first + row, key_head) : -1;
  });
}

template <int kKeys, int kSize, int kThreads, int kTiles>
__device__ __forceinline__ void LoadKeys(const Shape& shape, Bf16* const (&tiles)[kTiles],
                                         const Bf16* const (&from)[kTiles], int32_t first, int32_t key_head) {
  LoadTiles<kKeys, kSize, kThreads>(tiles, from, shape.size, [&](int key) -> int64_t {
    return first + key < shape.keys ? shape.KeyIndex(first + key, key_head) : -1;
  });
}

// Sums of a warp: 16 kM rows by 8 kN columns, as MmaBf16 lays them out.
template <int kM, int kN>
using Sums = float[kM][kN][4];

template <int kM, int kN>
__device__ __forceinline__ void Clear(Sums<kM, kN>& sums) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kN; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[m][n][i] = 0.0f;
    }
  }
}

// sums += left right for one step of depth; `right` holds two neighbouring blocks of 8 columns.
template <int kM, int kN>
__device__ __forceinline__ void AddStep(Sums<kM, kN>& sums, const uint32_t (&left)[kM][4], const uint32_t (&right)[4],
                                        int n) {
  const uint32_t one[2] = {right[0], right[1]}, two[2] = {right[2], right[3]};
#pragma unroll
  for (int m = 0; m < kM; ++m) {
    MmaBf16(sums[m][n], left[m], one);
    MmaBf16(sums[m][n + 1], left[m], two);
  }
}

// sums = a bᵀ over heads of kSize: rows of `a` by rows of `b`, both tiles.
template <int kSize, int kM, int kN>
__device__ __forceinline__ void MultiplyRows(Sums<kM, kN>& sums, const Bf16* a, const Bf16* b) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const Bf16* left_at = a + lane % 16 * kStride<kSize> + lane / 16 * 8;
  const Bf16* right_at = b + (lane / 16 * 8 + lane % 8) * kStride<kSize> + lane / 8 % 2 * 8;
  Clear<kM, kN>(sums);
#pragma unroll
  for (int k = 0; k < kSize; k += 16) {
    uint32_t left[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) LoadMatrix4(left[m], left_at + m * 16 * kStride<kSize> + k);
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t right[4];
      LoadMatrix4(right, right_at + n * 8 * kStride<kSize> + k);
      AddStep<kM, kN>(sums, left, right, n);
    }
  }
}

// sums += w b, where the columns of w, rounded to bfloat16, are the rows of the tile `b`.
template <int kSize, int kM, int kDepth>
__device__ __forceinline__ void AddWeighted(Sums<kM, kSize / 8>& sums, const Sums<kM, kDepth / 8>& w, const Bf16* b) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const Bf16* right_at = b + lane % 16 * kStride<kSize> + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < kDepth / 8; k += 2) {
    uint32_t left[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      left[m][0] = Pack2(w[m][k][0], w[m][k][1]);
      left[m][1] = Pack2(w[m][k][2], w[m][k][3]);
      left[m][2] = Pack2(w[m][k + 1][0], w[m][k + 1][1]);
      left[m][3] = Pack2(w[m][k + 1][2], w[m][k + 1][3]);
    }
#pragma unroll
    for (int n = 0; n < kSize / 8; n += 2) {
      uint32_t right[4];
      LoadMatrix4Transposed(right, right_at + k * 8 * kStride<kSize> + n * 8);
      AddStep<kM, kSize / 8>(sums, left, right, n);
    }
  }
}

// A warp's sums as 16 kM rows of bfloat16 in shared memory that only this warp uses.
template <int kSize, int kM>
__device__ __forceinline__ void PutSums(Bf16* tile, const Sums<kM, kSize / 8>& sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  Bf16* to = tile + lane / 4 * kStride<kSize> + lane % 4 * 2;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int n = 0; n < kSize / 8; ++n) {
      uint32_t* above = reinterpret_cast<uint32_t*>(to + m * 16 * kStride<kSize> + n * 8);
      uint32_t* below = reinterpret_cast<uint32_t*>(to + (m * 16 + 8) * kStride<kSize> + n * 8);
      *above = Pack2(sums[m][n][0], sums[m][n][1]);
      *below = Pack2(sums[m][n][2], sums[m][n][3]);
    }
  }
}

// The same rows to `to + at(r) * size`, but where at(r) < 0. Whole lines are written.
template <int kSize, int kRows, class At>
__device__ __forceinline__ void StoreTile(Bf16* to, const Bf16* tile, int32_t size, const At& at) {
  constexpr int kPieces = kSize / 8;
  for (int i = static_cast<int>(threadIdx.x) % kWarpSize; i < kRows * kPieces; i += kWarpSize) {
    const int row = i / kPieces, column = i % kPieces * 8;
    const int64_t index = at(row);
    if (index < 0 || column >= size) continue;
    Vec<Bf16, 8>::Load(tile + row * kStride<kSize> + column).Store(to + index * size + column);
  }
}

// What serves the call: the tensor cores take bfloat16 with heads of whole 16 bytes up to 128 values.
inline bool FitsTensorCores(const RocitTreeAttentionInputs& in) {
  return in.dtype == ROCIT_BFLOAT16 && in.head_dim % 8 == 0 && in.head_dim > 0 && in.head_dim <= 128 &&
         IsAligned16<Bf16>(in.q, 0) && IsAligned16<Bf16>(in.k, 0) && IsAligned16<Bf16>(in.v, 0);
}

// The keys of a tile whose bounds are looked up: of the forward and without tensor cores, and of dq.
inline constexpr int kForwardKeys = 64, kPullKeys = 32;

// tree_attention_simt.cu: any head size, both dtypes; bounds of tiles of kForwardKeys.
RocitCudaStatus AttendWithoutTensorCores(const RocitTreeAttentionArgs& args, const Shape& shape, const KeyBounds& bounds,
                                         void* stream);
RocitCudaStatus PullWithoutTensorCores(const RocitTreeAttentionGradArgs& args, const Shape& shape,
                                       const KeyBounds& bounds, const float* delta, void* stream);

}  // namespace attention
}  // namespace rocit

#endif  // ROCIT_CUDA_ATTENTION_TILES_H_
