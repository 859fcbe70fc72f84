// The loops of the backward of lora_linear for one vector path: outer products for the adapters' gradients, masked sums.

#include "gemm_tile.h"
#include "gemm_panels.h"
#include "gemm_pack.h"

inline constexpr int kMostOuterRows = kTileRows < 12 ? 4 : 12;  // 16 and 48, the usual counts, come out even

// sums[r][c] += the products of `depth` rows of s and y, for one panel.
template <int kRows>
__attribute__((noinline)) void AddOuterTile(const float* s, int64_t s_stride, const float* y, int64_t y_stride,
                                            int64_t depth, float* sums) {
  Tile<kRows, kTileVecs> tile;
  LoadTile(&tile, sums, kOuterColumns);
  AddOuter(&tile, s, s_stride, y, y_stride, depth);
  StoreTile(tile, {sums, kOuterColumns, kPanel, ROCIT_FLOAT32, nullptr, 0});
}

inline int64_t NextOuterRows(int64_t left) {
  if (left >= kMostOuterRows && left != 16) return kMostOuterRows;
  return left >= 8 && kMostOuterRows > 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

inline void AddOuterRows(int64_t rows, const float* s, int64_t s_stride, const float* y, int64_t y_stride,
                         int64_t depth, float* sums) {
  switch (rows) {
#if ROCIT_WIDTH == 16
    case 12: return AddOuterTile<12>(s, s_stride, y, y_stride, depth, sums);
    case 8: return AddOuterTile<8>(s, s_stride, y, y_stride, depth, sums);
#endif
    case 4: return AddOuterTile<4>(s, s_stride, y, y_stride, depth, sums);
    case 2: return AddOuterTile<2>(s, s_stride, y, y_stride, depth, sums);
    default: return AddOuterTile<1>(s, s_stride, y, y_stride, depth, sums);
  }
}

// `depth` rows of y from `row` on as float32, widened and masked into `room` where they are not so already.
inline const float* WideBlock(const OuterProduct& product, int64_t row, int64_t depth, int64_t begin, int64_t columns,
                              float* room, int64_t* stride) {
  const Matrix& y = product.y;
  const void* from = At(y.data, y.dtype, row * y.stride + begin);
  if (y.dtype == ROCIT_FLOAT32 && product.dropout == nullptr && columns % kPanel == 0) {
    *stride = y.stride;
    return static_cast<const float*>(from);
  }
  *stride = kOuterColumns;
  for (int64_t k = 0; k < depth; ++k) {
    float* to = room + k * kOuterColumns;
    for (int64_t c = columns; c < (columns + kPanel - 1) / kPanel * kPanel; ++c) to[c] = 0;
    if (y.dtype == ROCIT_FLOAT32) {
      WidenRow(static_cast<const float*>(from) + k * y.stride, columns, product.dropout, row + k, begin, to);
    } else {
      WidenRow(static_cast<const Bfloat16*>(from) + k * y.stride, columns, product.dropout, row + k, begin, to);
    }
  }
  return room;
}

inline void MultiplyOuterPiece(const OuterPiece& piece) {
  const OuterProduct& product = *piece.product;
  const int64_t columns = piece.column_end - piece.column_begin;
  float* sums = ThreadScratch<float>(Scratch::kSums, product.count * kOuterColumns);
  float* room = ThreadScratch<float>(Scratch::kRows, kOuterRows * kOuterColumns);
  for (int64_t i = 0; i < product.count * kOuterColumns; ++i) sums[i] = 0;
  for (int64_t row = 0; row < product.rows; row += kOuterRows) {
    const int64_t depth = product.rows - row < kOuterRows ? product.rows - row : kOuterRows;
    int64_t stride = 0;
    const float* y = WideBlock(product, row, depth, piece.column_begin, columns, room, &stride);
    for (int64_t r = 0; r < product.count;) {
      const int64_t rows = NextOuterRows(product.count - r);
      for (int64_t c = 0; c < columns; c += kPanel) {
        AddOuterRows(rows, product.s + row * product.s_stride + r, product.s_stride, y + c, stride, depth,
                     sums + r * kOuterColumns + c);
      }
      r += rows;
    }
  }
  for (int64_t r = 0; r < product.count; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      StoreOuter(product, r, piece.column_begin + c, sums[r * kOuterColumns + c] * product.scale);
    }
  }
}

template <class T>
void AddMasked(const MaskedSum& sum, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    T* to = static_cast<T*>(sum.to) + row * sum.columns;
    for (int64_t c = 0; c < sum.columns; c += kWidth) {
      NativeFloat total{};
      for (int64_t p = 0; p < sum.num_parts; ++p) {
        NativeFloat part = LoadWideSome(sum.parts[p] + row * sum.columns + c, sum.columns - c);
        const Dropout* dropout = sum.dropouts[p];
        if (dropout != nullptr) part = part * KeepFactors(*dropout, RowKey(dropout->seed, row), c);
        total = total + part;
      }
      StoreNarrowSome(to + c, total, sum.columns - c);
    }
  }
}
