// All tiles of some rows by a packed slab of columns, for one vector path. Included after gemm_tile.h.

// What a tile reads of a segment: rows of a, and the packed columns of b.
struct RowView {
  const void* a;
  int64_t stride;
  const uint32_t* b;
  int64_t depth;
  bool is_pairs;
  const void* rest;  // on AMX what is left of each row behind whole tiles, filled up with zeros
  int64_t units() const { return Units(depth, is_pairs); }
};

#if defined(ROCIT_AMX)
#include "amx_tile.h"
inline constexpr int64_t kGroupRows = 32;

inline int64_t NextRows(int64_t left) { return left < kGroupRows ? left : kGroupRows; }

ROCIT_INLINE void MultiplyPanel(int64_t rows, const RowView* views, int64_t num_views, int64_t column,
                                const TileTarget& target) {
  const bool is_wide = target.columns > kWidth;
  if (rows > 16 && is_wide) MultiplyOnTiles<true, 2>(rows, views, num_views, column, target);
  else if (rows > 16) MultiplyOnTiles<true, 1>(rows, views, num_views, column, target);
  else if (is_wide) MultiplyOnTiles<false, 2>(rows, views, num_views, column, target);
  else MultiplyOnTiles<false, 1>(rows, views, num_views, column, target);
}
#else
struct TileRegisters {};
inline constexpr int64_t kGroupRows = kTileRows;

// One tile; `column` is that of its panel in the packed slab.
template <int kRows, int kVecs>
__attribute__((noinline)) void MultiplyTile(const RowView* views, int64_t num_views, int64_t column,
                                            const TileTarget& target) {
  Tile<kRows, kVecs> tile;
  Clear(&tile);
  for (int64_t s = 0; s < num_views; ++s) {
    const RowView& view = views[s];
    const uint32_t* b = view.b + column * view.units();
#if defined(ROCIT_PAIRS)
    if (view.is_pairs) {
      AddPairs(&tile, static_cast<const Bfloat16*>(view.a), view.stride, b, view.depth);
      continue;
    }
#endif
    AddFloats(&tile, static_cast<const float*>(view.a), view.stride, reinterpret_cast<const float*>(b), view.depth);
  }
  StoreTile(tile, target);
}

// Rows of the next tile when `left` are left.
inline int64_t NextRows(int64_t left) {
  if (left >= kTileRows) return kTileRows;
  for (int64_t rows = kTileRows > 8 ? 8 : 4; rows > 1; rows /= 2) {
    if (left >= rows) return rows;
  }
  return 1;
}

template <int kVecs>
ROCIT_INLINE void MultiplyRows(int64_t rows, const RowView* views, int64_t num_views, int64_t column,
                               const TileTarget& target) {
  switch (rows) {
    case kTileRows: return MultiplyTile<kTileRows, kVecs>(views, num_views, column, target);
#if ROCIT_WIDTH == 16
    case 8: return MultiplyTile<8, kVecs>(views, num_views, column, target);
#endif
    case 4: return MultiplyTile<4, kVecs>(views, num_views, column, target);
    case 2: return MultiplyTile<2, kVecs>(views, num_views, column, target);
    default: return MultiplyTile<1, kVecs>(views, num_views, column, target);
  }
}

ROCIT_INLINE void MultiplyPanel(int64_t rows, const RowView* views, int64_t num_views, int64_t column,
                                const TileTarget& target) {
  if (target.columns > kWidth) MultiplyRows<kTileVecs>(rows, views, num_views, column, target);
  else MultiplyRows<1>(rows, views, num_views, column, target);
}
#endif

// The target of the panel at `column`; target is that of the first.
ROCIT_INLINE TileTarget TargetAt(const TileTarget& target, int64_t column) {
  TileTarget to = target;
  to.c = static_cast<char*>(target.c) + column * (target.dtype == ROCIT_FLOAT32 ? 4 : 2);
  to.columns = target.columns - column;
  if (target.bias != nullptr) to.bias = target.bias + column;
  return to;
}

// All panels of a slab of target.columns columns for one group of rows.
ROCIT_INLINE void MultiplyPanels(int64_t rows, const RowView* views, int64_t num_views, const TileTarget& target,
                                 [[maybe_unused]] TileRegisters* registers) {
#if defined(ROCIT_AMX)
  registers->Configure(rows);
#endif
  for (int64_t column = 0; column < target.columns; column += kPanel) {
    MultiplyPanel(rows, views, num_views, column, TargetAt(target, column));
  }
}
