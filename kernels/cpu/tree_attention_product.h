// The products of tree_attention's tiles for one vector path. Included after tree_attention_tiles.h.

#if defined(ROCIT_AMX)
#include "amx_registers.h"

// c (+)= a b of pairs, whole tiles only; a: [rows, depth].
template <bool kHasLower, int kVecs>
ROCIT_INLINE void MultiplyTiles(const TileProduct& p, int64_t row, int64_t column) {
  float* c = p.c + row * p.c_stride + column;
  SettleMemory();
  if (p.adds) LoadSums<kHasLower, kVecs>(c, p.c_stride);
  else ClearSums<kHasLower, kVecs>();
  for (int64_t k = 0; k < p.depth; k += kLanes) {
    AddOnTiles<kHasLower, kVecs>(p.a + row * p.a_stride + k, 4 * p.a_stride, p.b + k * p.b_stride + column, 4 * p.b_stride);
  }
  StoreSums<kHasLower, kVecs>(c, p.c_stride);
}

inline void MultiplyWholeTiles(const TileProduct& p) {
  for (int64_t column = 0; column < p.columns; column += 2 * kLanes) {
    const bool is_wide = p.columns - column > kLanes;
    for (int64_t row = 0; row < p.rows; row += 2 * kLanes) {
      if (p.rows - row > kLanes) {
        if (is_wide) MultiplyTiles<true, 2>(p, row, column);
        else MultiplyTiles<true, 1>(p, row, column);
      } else {
        if (is_wide) MultiplyTiles<false, 2>(p, row, column);
        else MultiplyTiles<false, 1>(p, row, column);
      }
    }
  }
}
#endif

// c (+)= a b; on AMX whole tiles of pairs on its registers, the rest of the depth and the last rows beside it.
template <class Word, Neighbours kNeighbours>
void Multiply(const TileProduct& p) {
#if defined(ROCIT_AMX)
  const int64_t rows = p.rows / kLanes * kLanes, depth = p.depth / kLanes * kLanes;
  if constexpr (std::is_same_v<Word, PairWords>) {
    const bool is_row_major = kNeighbours == Neighbours::kDepth;
    if (rows > 0 && depth > 0) {
      TileProduct whole = p;
      whole.rows = rows;
      whole.depth = depth;
      if (!is_row_major) {
        whole.a_stride = depth + kLanes;
        float* turned = ThreadScratch<float>(Scratch::kRows, rows * whole.a_stride);
        Transpose(p.a, p.a_stride, depth, rows, turned, whole.a_stride);
        whole.a = turned;
      }
      MultiplyWholeTiles(whole);
      TileProduct rest = p;
      rest.rows = rows;
      rest.depth -= depth;
      rest.a += is_row_major ? depth : depth * p.a_stride;
      rest.b += depth * p.b_stride;
      rest.adds = true;
      if (rest.depth > 0) MultiplyInRegisters<Word, kNeighbours>(rest);
      if (rows == p.rows) return;
      rest = p;
      rest.rows -= rows;
      rest.a += is_row_major ? rows * p.a_stride : rows;
      rest.c += rows * p.c_stride;
      return MultiplyInRegisters<Word, kNeighbours>(rest);
    }
  }
#endif
  MultiplyInRegisters<Word, kNeighbours>(p);
}
