// Low-rank products on tensor cores. A block of eight warps makes 64 x 128 elements: 16 of the depth at a time, v is split
// into three bfloat16 on its way to shared memory, u on its way to registers. The result passes through shared memory so
// that whole lines are written. Bound by memory: 4,096 x 4,096 of bfloat16 and depth 16 are 34 MB.
#include "low_rank.h"

#include "float_parts.h"

namespace rocit {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = 64, kColumns = 128;  // of a block
constexpr int kRowWarps = kRows / 16, kWarpColumns = 64;
constexpr int kDepth = 16;
constexpr int kPartStride = kDepth + 8, kPartSize = kColumns * kPartStride;
constexpr size_t kPartBytes = kParts * kPartSize * sizeof(Bf16);
constexpr int kTiles = kWarpColumns / 8;

template <class T>
inline constexpr int kOutStride = kColumns + kWidest<T>;

template <class T>
inline constexpr size_t kSharedBytes =
    kRows * kOutStride<T> * sizeof(T) > kPartBytes ? kRows * kOutStride<T> * sizeof(T) : kPartBytes;

// Rows r ... r + 15 of v by the block's columns, in parts; zeros outside.
__device__ __forceinline__ void SplitV(const LowRankTerm& term, int64_t r, int64_t column_begin, int64_t columns, Bf16* to) {
  const bool is_depth_first = term.v_row_stride == 1;
#pragma unroll
  for (int i = 0; i < kColumns * kDepth / 2 / kThreads; ++i) {
    const int at = i * kThreads + static_cast<int>(threadIdx.x);
    const int c = is_depth_first ? at / (kDepth / 2) : at % kColumns;
    const int depth = 2 * (is_depth_first ? at % (kDepth / 2) : at / kColumns);
    const float* v = term.v + (column_begin + c) * term.v_column_stride + (r + depth) * term.v_row_stride;
    const bool is_column = column_begin + c < columns;
    uint32_t parts[kParts];
    SplitPair(is_column && r + depth < term.depth ? v[0] : 0.0f,
              is_column && r + depth + 1 < term.depth ? v[term.v_row_stride] : 0.0f, parts);
#pragma unroll
    for (int p = 0; p < kParts; ++p) *reinterpret_cast<uint32_t*>(to + p * kPartSize + c * kPartStride + depth) = parts[p];
  }
}

// Columns r ... r + 15 of u by the warp's rows.
__device__ __forceinline__ void SplitU(const LowRankTerm& term, int64_t r, int64_t row_begin, int64_t rows,
                                       LeftFragment<float>* to) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t m = row_begin + lane / 4 + i % 2 * 8, k = r + lane % 4 * 2 + i / 2 * 8;
    const float* u = term.u + m * term.u_stride + k;
    SplitInto(to, i, m < rows && k < term.depth ? u[0] : 0.0f, m < rows && k + 1 < term.depth ? u[1] : 0.0f);
  }
}

__device__ __forceinline__ void Multiply(const LeftFragment<float>& u, const Bf16* parts, float (&sums)[kTiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int t = 0; t < kTiles; t += 2) {
#pragma unroll
    for (int p = kParts - 1; p >= 0; --p) {  // small products first
      uint32_t both[4];
      LoadMatrix4(both, parts + p * kPartSize + (t * 8 + lane / 16 * 8 + lane % 8) * kPartStride + lane / 8 % 2 * 8);
      const uint32_t v[2][2] = {{both[0], both[1]}, {both[2], both[3]}};
#pragma unroll
      for (int q = kParts - 1 - p; q >= 0; --q) {
        MmaBf16(sums[t], u.part[q], v[0]);
        MmaBf16(sums[t + 1], u.part[q], v[1]);
      }
    }
  }
}

// Which element of the warp's 16 x 64 is number i of tile t.
__device__ __forceinline__ int RowOf(int i) { return static_cast<int>(threadIdx.x) % kWarpSize / 4 + i / 2 * 8; }
__device__ __forceinline__ int ColumnOf(int t, int i) {
  return t * 8 + static_cast<int>(threadIdx.x) % kWarpSize % 4 * 2 + i % 2;
}

// What the terms are added to: what is there, or the bias, or nothing.
template <class T>
__device__ __forceinline__ void Begin(const LowRank& product, int64_t row, int64_t column, float (&total)[kTiles][4]) {
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t m = row + RowOf(i), c = column + ColumnOf(t, i);
      const bool is_there = m < product.rows && c < product.columns;
      if (product.accumulates) {
        total[t][i] = is_there ? ToFloat(static_cast<const T*>(product.out)[m * product.columns + c]) : 0.0f;
      } else {
        total[t][i] = is_there && product.bias != nullptr ? ToFloat(static_cast<const T*>(product.bias)[c]) : 0.0f;
      }
    }
  }
}

__device__ __forceinline__ void AddTerm(const LowRankTerm& term, int64_t row, int64_t column, const float (&sums)[kTiles][4],
                                        float (&total)[kTiles][4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t key = term.drops ? RowKey(term.dropout.seed, row + RowOf(i)) : 0;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      const bool is_kept = !term.drops || IsKept(key, column + ColumnOf(t, i), term.dropout.threshold);
      total[t][i] += is_kept ? term.scale * sums[t][i] : 0.0f;
    }
  }
}

template <class T>
__device__ __forceinline__ void WriteBlock(const LowRank& product, const T* tile, int64_t row_begin, int64_t column_begin,
                                           bool is_aligned) {
  T* out = static_cast<T*>(product.out);
  if (is_aligned) {
    constexpr int kVec = kWidest<T>, kVecs = kColumns / kVec;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kVecs; i += kThreads) {
      const int64_t m = row_begin + i / kVecs, c = column_begin + i % kVecs * kVec;
      if (m >= product.rows || c >= product.columns) continue;
      Vec<T, kVec>::Load(tile + i / kVecs * kOutStride<T> + i % kVecs * kVec).Store(out + m * product.columns + c);
    }
    return;
  }
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kColumns; i += kThreads) {
    const int64_t m = row_begin + i / kColumns, c = column_begin + i % kColumns;
    if (m < product.rows && c < product.columns) out[m * product.columns + c] = tile[i / kColumns * kOutStride<T> + i % kColumns];
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) LowRankKernel(LowRank product, bool is_aligned) {
  unsigned char* shared = DynamicShared<unsigned char>();
  Bf16* parts = reinterpret_cast<Bf16*>(shared);
  T* tile = reinterpret_cast<T*>(shared);
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const int warp_row = warp % kRowWarps * 16, warp_column = warp / kRowWarps * kWarpColumns;
  const int64_t row_begin = static_cast<int64_t>(blockIdx.x) * kRows;
  const int64_t column_begin = static_cast<int64_t>(blockIdx.y) * kColumns;
  float total[kTiles][4];
  Begin<T>(product, row_begin + warp_row, column_begin + warp_column, total);
  for (int n = 0; n < product.num_terms; ++n) {
    const LowRankTerm& term = product.terms[n];
    float sums[kTiles][4] = {};
    for (int64_t r = 0; r < term.depth; r += kDepth) {
      SplitV(term, r, column_begin, product.columns, parts);
      LeftFragment<float> u;
      SplitU(term, r, row_begin + warp_row, product.rows, &u);
      __syncthreads();
      Multiply(u, parts + warp_column * kPartStride, sums);
      __syncthreads();
    }
    AddTerm(term, row_begin + warp_row, column_begin + warp_column, sums, total);
  }
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      tile[(warp_row + RowOf(i)) * kOutStride<T> + warp_column + ColumnOf(t, i)] = FromFloat<T>(total[t][i]);
    }
  }
  __syncthreads();
  WriteBlock(product, tile, row_begin, column_begin, is_aligned);
}

template <class T>
RocitCudaStatus LaunchAs(const LowRank& product, void* stream) {
  const dim3 grid(NumBlocks(product.rows, kRows), NumBlocks(product.columns, kColumns));
  return Launch(&LowRankKernel<T>, grid, dim3(kThreads), kSharedBytes<T>, stream, product,
                IsAligned16<T>(product.out, product.columns));
}

}  // namespace

RocitCudaStatus LaunchLowRank(const LowRank& product, void* stream) {
  return product.dtype == ROCIT_FLOAT32 ? LaunchAs<float>(product, stream) : LaunchAs<Bf16>(product, stream);
}

}  // namespace rocit
