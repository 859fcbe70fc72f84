// Cutting products into pieces for the caller's threads: by shape alone.
#ifndef ROCIT_CPU_GEMM_PIECES_H_
#define ROCIT_CPU_GEMM_PIECES_H_

#include <algorithm>
#include <vector>

#include "gemm_segment.h"
#include "machine.h"

namespace rocit {

// Packed columns stay in a second-level cache, which is larger where there is AMX.
constexpr int64_t kSlabBytes = 1 << 19, kSlabBytesOfAmx = 1 << 20;
constexpr int64_t kSlabColumns = 96, kSlabColumnsOfAmx = 288;
constexpr int64_t kColumnStep = 32;  // a multiple of every path's panel

// Rows are cut into multiples of a tile's. On AMX packing columns costs as much as multiplying 80 rows by them, so a piece
// has more rows there.
inline int64_t RowStep() { return rocit_path() == ROCIT_AMX_BF16 ? 32 : 14; }
inline int64_t PieceRows() { return rocit_path() == ROCIT_AMX_BF16 ? 2048 : 512; }

inline int64_t SlabColumns(const Product& product) {
  const bool is_amx = rocit_path() == ROCIT_AMX_BF16;
  int64_t bytes = 0;
  for (int64_t s = 0; s < product.num_segments; ++s) {
    const Segment& segment = product.segments[s];
    bytes += segment.depth * (is_amx ? (IsPairs(segment) ? 2 : 6) : SizeOf(segment.b.dtype));
  }
  if (is_amx && HasStretches(product)) bytes = 6 * kPartsDepth;
  const int64_t room = is_amx ? kSlabBytesOfAmx : kSlabBytes;
  const int64_t fitting = room / std::max<int64_t>(bytes, 1) / kColumnStep * kColumnStep;
  return std::min(is_amx ? kSlabColumnsOfAmx : kSlabColumns, std::max(kColumnStep, fitting));
}

// Even parts of about `size`, each a multiple of `step`.
inline int64_t EvenPart(int64_t count, int64_t size, int64_t step) {
  const int64_t parts = std::max<int64_t>(1, (count + size - 1) / size);
  return std::max<int64_t>(step, ((count + parts - 1) / parts + step - 1) / step * step);
}

inline void AddPieces(const Product& product, std::vector<Piece>* pieces) {
  const int64_t columns = EvenPart(product.columns, SlabColumns(product), kColumnStep);
  const int64_t rows = EvenPart(product.rows, PieceRows(), RowStep());
  for (int64_t r = 0; r < product.rows; r += rows) {
    for (int64_t c = 0; c < product.columns; c += columns) {
      pieces->push_back({&product, r, std::min(r + rows, product.rows), c, std::min(c + columns, product.columns)});
    }
  }
}

// On the best vector path: one piece, or all for the threads.
void MultiplyAnyPiece(const Piece& piece);
void MultiplyPieces(const std::vector<Piece>& pieces, const RocitParallel* parallel);

// About the nanoseconds of a piece.
inline int64_t PieceCost(const Piece& piece) {
  int64_t depth = 0;
  for (int64_t s = 0; s < piece.product->num_segments; ++s) depth += piece.product->segments[s].depth;
  return (piece.row_end - piece.row_begin) * (piece.column_end - piece.column_begin) * depth / 50 + 1000;
}

}  // namespace rocit

#endif  // ROCIT_CPU_GEMM_PIECES_H_
