// Thin products on tensor cores. A block has some rows and all columns, up to 64, and walks along the depth: x comes by
// asynchronous copies several tiles ahead, the short side is split into three bfloat16 on its way to shared memory, each
// of eight warps multiplies its share of a tile's depth, and their sums are added in order at the end. Bound by memory:
// for x of 4,096 x 4,096 bfloat16 and 16 columns 34 MB against 1.6 G products of parts.
#include "thin_product.h"

#include "float_parts.h"

namespace rocit {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarpSize;
constexpr int kMostColumns = 64;  // of a block
constexpr int kPad = 8;           // elements behind a row of shared memory, so that its rows start in different banks
constexpr int64_t kWantedBlocks = 192;
constexpr int64_t kLeastTiles = 4;  // of a piece of the depth
constexpr int64_t kMostPieces = 16;

// Shapes of a block. Rows of memory are to fill whole cache lines, so a tile is long in the direction in which x lies.
template <class T, bool kTransposed, int kColumns>
struct Tiles {
  static constexpr bool kIsTransposed = kTransposed;
  static constexpr int kRows = kTransposed ? 64 : 32;
  static constexpr int kDepth = kTransposed ? 64 : 128;
  static constexpr int kRowWarps = kRows / 16, kDepthWarps = kWarps / kRowWarps;
  static constexpr int kSteps = kDepth / 16 / kDepthWarps;  // of a warp, each 16 deep
  static constexpr int kStages = sizeof(T) == 2 ? 4 : 3;
  static constexpr int kLines = kTransposed ? kDepth : kRows, kLineSize = kTransposed ? kRows : kDepth;
  // Lanes of the transposed float32 tile read down columns.
  static constexpr int kLineStride = kLineSize + (kTransposed && sizeof(T) == 4 ? 4 : kPad);
  static constexpr int kStageSize = kLines * kLineStride;
  static constexpr int kPartStride = kDepth + kPad, kPartSize = kColumns * kPartStride;
  static constexpr int kPairs = kColumns * kDepth / 2 / kThreads;  // of the short side, a thread
  static constexpr size_t kPartBytes = 2 * kParts * kPartSize * sizeof(Bf16);
  static constexpr size_t kStageBytes = kStages * kStageSize * sizeof(T);
  static constexpr int kSumStride = kColumns + 1;
  static constexpr size_t kSumBytes = static_cast<size_t>(kDepthWarps) * kRows * kSumStride * sizeof(float);
  static constexpr size_t kWalkBytes = kPartBytes + kStageBytes;
  static constexpr size_t kSharedBytes = kWalkBytes > kSumBytes ? kWalkBytes : kSumBytes;
};

struct ThinArgs {
  ThinProduct product;
  Dropout dropout;
  float* pieces;           // null: results go to their place
  int64_t piece_tiles;     // of the depth
  int64_t column_begin;    // of the block's columns
  int64_t num_columns;     // in all
  bool is_x_aligned, is_w_paired;
};

struct Column {
  const float* w;
  float* out;
  float scale;
  const float* before;
};

// Column s of a product, parts one after the other; without memory behind the last.
__device__ __forceinline__ Column ColumnOf(const ThinProduct& product, int64_t s) {
  for (int p = 0; p < product.num_parts; ++p) {
    const ThinPart& part = product.parts[p];
    if (s < part.count) {
      const float* before = part.before == nullptr ? nullptr : part.before + s * part.out_column_stride;
      return {part.w + s * part.column_stride, part.out + s * part.out_column_stride, part.scale, before};
    }
    s -= part.count;
  }
  return {nullptr, nullptr, 0.0f, nullptr};
}

__device__ __forceinline__ void StoreScaled(const Column& column, int64_t at, float sum) {
  const float value = sum * column.scale;
  column.out[at] = column.before == nullptr ? value : __fadd_rn(column.before[at], value);
}

// Where element (m, s) of a piece lies: as its result does, so that both are written line by line.
__device__ __forceinline__ int64_t PieceIndex(const ThinProduct& product, int64_t num_columns, int64_t m, int64_t s) {
  return product.row_stride == 1 ? s * product.rows + m : m * num_columns + s;
}

// One tile of x on its way to shared memory, zeros outside.
template <class T, class Own>
__device__ __forceinline__ void FetchTile(const ThinArgs& args, int64_t row, int64_t depth, int64_t depth_end, T* to) {
  const ThinProduct& product = args.product;
  const T* x = static_cast<const T*>(product.x);
  constexpr bool kT = Own::kIsTransposed;
  const int64_t line_begin = kT ? depth : row, line_end = kT ? depth_end : product.rows;
  const int64_t at_begin = kT ? row : depth, at_end = kT ? product.rows : depth_end;
  const int64_t stride = kT ? product.rows : product.depth;
  if (args.is_x_aligned) {
    constexpr int kVec = kWidest<T>, kVecs = Own::kLineSize / kVec;
    for (int i = static_cast<int>(threadIdx.x); i < Own::kLines * kVecs; i += kThreads) {
      const int64_t line = line_begin + i / kVecs, at = at_begin + i % kVecs * kVec;
      const bool is_valid = line < line_end && at < at_end;
      CopyAsync16(to + i / kVecs * Own::kLineStride + i % kVecs * kVec, is_valid ? x + line * stride + at : x, is_valid);
    }
    return;
  }
  for (int i = static_cast<int>(threadIdx.x); i < Own::kLines * Own::kLineSize; i += kThreads) {
    const int64_t line = line_begin + i / Own::kLineSize, at = at_begin + i % Own::kLineSize;
    const bool is_valid = line < line_end && at < at_end;
    to[i / Own::kLineSize * Own::kLineStride + i % Own::kLineSize] = is_valid ? x[line * stride + at] : FromFloat<T>(0.0f);
  }
}

// Which neighbours of the short side a thread splits: neighbours in memory for neighbouring threads.
template <class Own, int kColumns>
__device__ __forceinline__ void PlaceOfPair(const ThinArgs& args, int i, int* column, int* depth) {
  const int at = i * kThreads + static_cast<int>(threadIdx.x);
  const bool is_depth_first = args.product.depth_stride == 1;
  *column = is_depth_first ? at / (Own::kDepth / 2) : at % kColumns;
  *depth = 2 * (is_depth_first ? at % (Own::kDepth / 2) : at / kColumns);
}

template <class Own, int kColumns>
__device__ __forceinline__ void FetchPairs(const ThinArgs& args, const Column* columns, int64_t depth, int64_t depth_end,
                                           float (&pairs)[Own::kPairs][2]) {
#pragma unroll
  for (int i = 0; i < Own::kPairs; ++i) {
    int column = 0, offset = 0;
    PlaceOfPair<Own, kColumns>(args, i, &column, &offset);
    const float* w = columns[column].w;
    const int64_t k = depth + offset, stride = args.product.depth_stride;
    pairs[i][0] = pairs[i][1] = 0;
    if (w == nullptr || k >= depth_end) continue;
    if (args.is_w_paired && k + 1 < depth_end) {
      const float2 both = *reinterpret_cast<const float2*>(w + k);
      pairs[i][0] = both.x;
      pairs[i][1] = both.y;
      continue;
    }
    pairs[i][0] = w[k * stride];
    if (k + 1 < depth_end) pairs[i][1] = w[(k + 1) * stride];
  }
}

template <class Own, int kColumns>
__device__ __forceinline__ void StorePairs(const ThinArgs& args, const float (&pairs)[Own::kPairs][2], Bf16* to) {
#pragma unroll
  for (int i = 0; i < Own::kPairs; ++i) {
    int column = 0, offset = 0;
    PlaceOfPair<Own, kColumns>(args, i, &column, &offset);
    uint32_t parts[kParts];
    SplitPair(pairs[i][0], pairs[i][1], parts);
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      *reinterpret_cast<uint32_t*>(to + p * Own::kPartSize + column * Own::kPartStride + offset) = parts[p];
    }
  }
}

// The fragment of x at (row, depth) of a tile.
template <bool kTransposed, int kStride>
__device__ __forceinline__ void LoadLeft(LeftFragment<Bf16>* to, const Bf16* tile, int row, int depth) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (kTransposed) {
    LoadMatrix4Transposed(to->part[0], tile + (depth + lane / 16 * 8 + lane % 8) * kStride + row + lane / 8 % 2 * 8);
  } else {
    LoadMatrix4(to->part[0], tile + (row + lane % 16) * kStride + depth + lane / 16 * 8);
  }
}

template <bool kTransposed, int kStride>
__device__ __forceinline__ void LoadLeft(LeftFragment<float>* to, const float* tile, int row, int depth) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int r = row + lane / 4 + i % 2 * 8, k = depth + lane % 4 * 2 + i / 2 * 8;
    const float lo = kTransposed ? tile[k * kStride + r] : tile[r * kStride + k];
    const float hi = kTransposed ? tile[(k + 1) * kStride + r] : tile[r * kStride + k + 1];
    SplitInto(to, i, lo, hi);
  }
}

// Zeros in a fragment what dropout drops. Element (m, k) of x is (k, m) in memory when it is transposed.
template <class T, bool kTransposed>
__device__ __forceinline__ void Drop(LeftFragment<T>* fragment, const Dropout& dropout, int64_t row, int64_t depth) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int64_t m = row + lane / 4 + i % 2 * 8, k = depth + lane % 4 * 2 + i / 2 * 8;
    const uint32_t first = RowKey(dropout.seed, kTransposed ? k : m);
    const uint32_t second = kTransposed ? RowKey(dropout.seed, k + 1) : first;
    const uint32_t mask = (IsKept(first, kTransposed ? m : k, dropout.threshold) ? 0xffffu : 0u) |
                          (IsKept(second, kTransposed ? m : k + 1, dropout.threshold) ? 0xffff0000u : 0u);
#pragma unroll
    for (int p = 0; p < LeftFragment<T>::kCount; ++p) fragment->part[p][i] &= mask;
  }
}

// Sums of a warp: 16 rows by all columns. What parts other than the first give is small and has sums of its own, which
// keeps the rounding of tensor cores out of it.
template <int kColumns>
struct Sums {
  float large[kColumns / 8][4] = {}, small[kColumns / 8][4] = {};
};

template <class T, class Own, int kColumns>
__device__ __forceinline__ void Multiply(const LeftFragment<T>& left, const Bf16* parts, int depth, Sums<kColumns>* sums) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int c = 0; c < kColumns; c += 16) {
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      uint32_t both[4];
      LoadMatrix4(both, parts + p * Own::kPartSize + (c + lane / 16 * 8 + lane % 8) * Own::kPartStride + depth +
                            lane / 8 % 2 * 8);
      const uint32_t right[2][2] = {{both[0], both[1]}, {both[2], both[3]}};
#pragma unroll
      for (int q = 0; q < LeftFragment<T>::kCount; ++q) {
        if (p + q >= kParts) continue;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          MmaBf16(p + q == 0 ? sums->large[c / 8 + half] : sums->small[c / 8 + half], left.part[q], right[half]);
        }
      }
    }
  }
}

// Adds the warps' sums in order and writes the block's results.
template <class Own, int kColumns>
__device__ __forceinline__ void WriteSums(const ThinArgs& args, const Column* columns, const Sums<kColumns>& sums,
                                          int row_warp, int depth_warp, int64_t row_begin, float* shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
  for (int c = 0; c < kColumns / 8; ++c) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int row = row_warp * 16 + lane / 4 + i / 2 * 8, column = c * 8 + lane % 4 * 2 + i % 2;
      shared[(depth_warp * Own::kRows + row) * Own::kSumStride + column] = sums.large[c][i] + sums.small[c][i];
    }
  }
  __syncthreads();
  const ThinProduct& product = args.product;
  for (int i = static_cast<int>(threadIdx.x); i < Own::kRows * kColumns; i += kThreads) {
    const bool is_row_first = product.row_stride == 1;
    const int row = is_row_first ? i % Own::kRows : i / kColumns, column = is_row_first ? i / Own::kRows : i % kColumns;
    const int64_t m = row_begin + row;
    if (m >= product.rows || columns[column].w == nullptr) continue;
    float sum = 0;
#pragma unroll
    for (int d = 0; d < Own::kDepthWarps; ++d) sum += shared[(d * Own::kRows + row) * Own::kSumStride + column];
    if (args.pieces == nullptr) {
      StoreScaled(columns[column], m * product.row_stride, sum);
    } else {
      float* piece = args.pieces + static_cast<int64_t>(blockIdx.y) * product.rows * args.num_columns;
      piece[PieceIndex(product, args.num_columns, m, args.column_begin + column)] = sum;
    }
  }
}

template <class T, bool kTransposed, bool kDrops, int kColumns>
__global__ void __launch_bounds__(kThreads) ThinKernel(ThinArgs args) {
  using Own = Tiles<T, kTransposed, kColumns>;
  ROCIT_SHARED Column columns[kColumns];
  unsigned char* shared = DynamicShared<unsigned char>();
  Bf16* parts = reinterpret_cast<Bf16*>(shared);
  T* stages = reinterpret_cast<T*>(shared + Own::kPartBytes);
  const ThinProduct& product = args.product;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarpSize;
  const int row_warp = warp % Own::kRowWarps, depth_warp = warp / Own::kRowWarps;
  const int64_t row_begin = static_cast<int64_t>(blockIdx.x) * Own::kRows;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * args.piece_tiles * Own::kDepth;
  const int64_t end = min(begin + args.piece_tiles * Own::kDepth, product.depth);
  const int64_t num_tiles = end > begin ? (end - begin + Own::kDepth - 1) / Own::kDepth : 0;
  if (thread < kColumns) columns[thread] = ColumnOf(product, args.column_begin + thread);
  __syncthreads();
  Sums<kColumns> sums;
  float pairs[Own::kPairs][2];
  for (int i = 0; i < Own::kStages - 1; ++i) {
    if (i < num_tiles) FetchTile<T, Own>(args, row_begin, begin + i * Own::kDepth, end, stages + i * Own::kStageSize);
    CopyAsyncCommit();
  }
  FetchPairs<Own, kColumns>(args, columns, begin, end, pairs);
  StorePairs<Own, kColumns>(args, pairs, parts);
  for (int64_t tile = 0; tile < num_tiles; ++tile) {
    const int64_t depth = begin + tile * Own::kDepth;
    CopyAsyncWait<Own::kStages - 2>();
    __syncthreads();  // all see this tile and are done with the one before
    const int64_t ahead = tile + Own::kStages - 1;
    if (ahead < num_tiles) {
      FetchTile<T, Own>(args, row_begin, begin + ahead * Own::kDepth, end, stages + ahead % Own::kStages * Own::kStageSize);
    }
    CopyAsyncCommit();
    if (tile + 1 < num_tiles) FetchPairs<Own, kColumns>(args, columns, depth + Own::kDepth, end, pairs);
    const T* x = stages + tile % Own::kStages * Own::kStageSize;
    const Bf16* own_parts = parts + tile % 2 * kParts * Own::kPartSize;
#pragma unroll
    for (int step = 0; step < Own::kSteps; ++step) {
      const int at = (step * Own::kDepthWarps + depth_warp) * 16;
      LeftFragment<T> left;
      LoadLeft<kTransposed, Own::kLineStride>(&left, x, row_warp * 16, at);
      if (kDrops) Drop<T, kTransposed>(&left, args.dropout, row_begin + row_warp * 16, depth + at);
      Multiply<T, Own, kColumns>(left, own_parts, at, &sums);
    }
    if (tile + 1 < num_tiles) StorePairs<Own, kColumns>(args, pairs, parts + (tile + 1) % 2 * kParts * Own::kPartSize);
  }
  CopyAsyncWait<0>();
  __syncthreads();
  WriteSums<Own, kColumns>(args, columns, sums, row_warp, depth_warp, row_begin, reinterpret_cast<float*>(shared));
}

// The pieces of the depth, added in order.
__global__ void __launch_bounds__(kThreads) JoinPieces(ThinArgs args, int64_t num_pieces) {
  const ThinProduct& product = args.product;
  const int64_t size = product.rows * args.num_columns;
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= size) return;
  const bool is_row_first = product.row_stride == 1;
  const int64_t m = is_row_first ? i % product.rows : i / args.num_columns;
  const int64_t s = is_row_first ? i / product.rows : i % args.num_columns;
  float sum = 0;
  for (int64_t p = 0; p < num_pieces; ++p) sum += args.pieces[p * size + i];
  StoreScaled(ColumnOf(product, s), m * product.row_stride, sum);
}

int64_t NumColumns(const ThinProduct& product) {
  int64_t count = 0;
  for (int p = 0; p < product.num_parts; ++p) count += product.parts[p].count;
  return count;
}

struct Cut {
  int64_t piece_tiles, num_pieces;
};

Cut CutDepth(const ThinProduct& product) {
  const int64_t rows = product.is_transposed ? 64 : 32, depth = product.is_transposed ? 64 : 128;
  const int64_t blocks = (product.rows + rows - 1) / rows, tiles = (product.depth + depth - 1) / depth;
  int64_t pieces = blocks > 0 ? kWantedBlocks / blocks : 1;
  if (pieces > tiles / kLeastTiles) pieces = tiles / kLeastTiles;
  if (pieces > kMostPieces) pieces = kMostPieces;
  if (pieces <= 1) return {tiles, 1};
  const int64_t piece_tiles = (tiles + pieces - 1) / pieces;
  return {piece_tiles, (tiles + piece_tiles - 1) / piece_tiles};
}

template <class T, bool kTransposed, bool kDrops, int kColumns>
RocitCudaStatus LaunchColumns(const ThinArgs& args, int64_t num_pieces, void* stream) {
  using Own = Tiles<T, kTransposed, kColumns>;
  const dim3 grid(NumBlocks(args.product.rows, Own::kRows), static_cast<unsigned>(num_pieces));
  return Launch(&ThinKernel<T, kTransposed, kDrops, kColumns>, grid, dim3(kThreads), Own::kSharedBytes, stream, args);
}

template <class T, bool kTransposed, bool kDrops>
RocitCudaStatus LaunchPieces(ThinArgs args, int64_t num_pieces, void* stream) {
  for (; args.column_begin < args.num_columns; args.column_begin += kMostColumns) {
    const int64_t left = args.num_columns - args.column_begin;
    RocitCudaStatus status;
    if (left <= 16) status = LaunchColumns<T, kTransposed, kDrops, 16>(args, num_pieces, stream);
    else if (left <= 32) status = LaunchColumns<T, kTransposed, kDrops, 32>(args, num_pieces, stream);
    else if (left <= 48) status = LaunchColumns<T, kTransposed, kDrops, 48>(args, num_pieces, stream);
    else status = LaunchColumns<T, kTransposed, kDrops, 64>(args, num_pieces, stream);
    if (status != 0) return status;
  }
  return 0;
}

template <class T>
RocitCudaStatus LaunchAs(ThinArgs args, int64_t num_pieces, void* stream) {
  const ThinProduct& product = args.product;
  args.is_x_aligned = IsAligned16<T>(product.x, product.is_transposed ? product.rows : product.depth);
  if (product.is_transposed) {
    return product.dropout != nullptr ? LaunchPieces<T, true, true>(args, num_pieces, stream)
                                      : LaunchPieces<T, true, false>(args, num_pieces, stream);
  }
  return product.dropout != nullptr ? LaunchPieces<T, false, true>(args, num_pieces, stream)
                                    : LaunchPieces<T, false, false>(args, num_pieces, stream);
}

bool IsPaired(const ThinProduct& product) {
  if (product.depth_stride != 1) return false;
  for (int p = 0; p < product.num_parts; ++p) {
    const ThinPart& part = product.parts[p];
    if (reinterpret_cast<uintptr_t>(part.w) % 8 != 0 || part.column_stride % 2 != 0) return false;
  }
  return true;
}

}  // namespace

int64_t ThinWorkspace(const ThinProduct& product) {
  const Cut cut = CutDepth(product);
  return cut.num_pieces > 1 ? cut.num_pieces * product.rows * NumColumns(product) : 0;
}

RocitCudaStatus LaunchThin(const ThinProduct& product, void* stream, float* workspace) {
  const Cut cut = CutDepth(product);
  ThinArgs args = {product, {}, cut.num_pieces > 1 ? workspace : nullptr, cut.piece_tiles, 0, NumColumns(product), false,
                   IsPaired(product)};
  if (args.num_columns == 0 || product.rows == 0) return 0;
  if (product.dropout != nullptr) {
    args.dropout = *product.dropout;
    for (int p = 0; p < product.num_parts; ++p) args.product.parts[p].scale *= product.dropout->scale;
  }
  const RocitCudaStatus status = product.dtype == ROCIT_FLOAT32 ? LaunchAs<float>(args, cut.num_pieces, stream)
                                                                 : LaunchAs<Bf16>(args, cut.num_pieces, stream);
  if (status != 0 || cut.num_pieces == 1) return status;
  return Launch(&JoinPieces, dim3(NumBlocks(product.rows * args.num_columns, kThreads)), dim3(kThreads), 0, stream, args,
                cut.num_pieces);
}

}  // namespace rocit
