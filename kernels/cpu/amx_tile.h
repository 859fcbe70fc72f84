// Panels of a product on the tile registers of AMX. They are those of the register tile, their depth filled up with zeros.
// Included by gemm_panels.h.

#include "amx_registers.h"

inline constexpr int64_t kTileDepth = 32;

template <bool kHasLower, int kVecs>
ROCIT_INLINE void AddPairView(const RowView& view, const uint32_t* b) {
  const char* a = static_cast<const char*>(view.a);
  const int64_t whole = view.depth / kTileDepth;
  for (int64_t k = 0; k < whole; ++k) {
    AddOnTiles<kHasLower, kVecs>(a + 2 * kTileDepth * k, 2 * view.stride, b, kVecs * 64);
    b += kVecs * kWidth * (kTileDepth / 2);
  }
  if (whole * kTileDepth < view.depth) AddOnTiles<kHasLower, kVecs>(view.rest, 2 * kTileDepth, b, kVecs * 64);
}

// One part of a block of b by the first kParts parts of one of a.
template <bool kHasLower, int kVecs, int kParts>
ROCIT_INLINE void AddPartOfB(const char* a, const uint32_t* b) {
  constexpr int64_t kPart = 2 * 32 * kTileDepth, kHalf = kPart / 2;
  _tile_loadd(6, b, kVecs * 64);
  if (kVecs == 2) _tile_loadd(7, b + kWidth, kVecs * 64);
#pragma GCC unroll 3
  for (int part = 0; part < kParts; ++part) {
    _tile_loadd(4, a + part * kPart, 64);
    _tile_dpbf16ps(0, 4, 6);
    if (kVecs == 2) _tile_dpbf16ps(1, 4, 7);
    if (!kHasLower) continue;
    _tile_loadd(5, a + part * kPart + kHalf, 64);
    _tile_dpbf16ps(2, 5, 6);
    if (kVecs == 2) _tile_dpbf16ps(3, 5, 7);
  }
}

// float32 as blocks of three parts.
template <bool kHasLower, int kVecs>
ROCIT_INLINE void AddPartView(const RowView& view, const uint32_t* b) {
  constexpr int64_t kPart = kVecs * kWidth * (kTileDepth / 2);
  const char* a = static_cast<const char*>(view.a);
  for (int64_t k = 0; k < view.depth; k += kTileDepth) {
    AddPartOfB<kHasLower, kVecs, 1>(a, b + 2 * kPart);
    AddPartOfB<kHasLower, kVecs, 2>(a, b + kPart);
    AddPartOfB<kHasLower, kVecs, 3>(a, b);
    a += 3 * 2 * 32 * kTileDepth;
    b += 3 * kPart;
  }
}

template <int kVecs, class T>
ROCIT_INLINE void FinishSums(const float* sums, int64_t rows, const TileTarget& to) {
  for (int64_t r = 0; r < rows; ++r) {
    T* row = static_cast<T*>(to.c) + r * to.stride;
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      const int64_t count = to.columns - v * kWidth;
      NativeFloat value = LoadWide(sums + (r * kVecs + v) * kWidth);
      if (to.bias != nullptr) value = value + LoadWide(to.bias + v * kWidth);
      if (to.beta != 0) value = value + Splat(to.beta) * LoadWideSome(row + v * kWidth, count);
      StoreNarrowSome(row + v * kWidth, value, count);
    }
  }
}

template <bool kHasLower, int kVecs>
__attribute__((noinline)) void MultiplyOnTiles(int64_t rows, const RowView* views, int64_t num_views, int64_t column,
                                               const TileTarget& target) {
  alignas(64) float room[32 * kVecs * kWidth];
  // Whole float32 panels need no detour.
  const bool is_direct = target.dtype == ROCIT_FLOAT32 && target.bias == nullptr && target.columns >= kVecs * kWidth &&
                         (target.beta == 0 || target.beta == 1);
  float* sums = is_direct ? static_cast<float*>(target.c) : room;
  SettleMemory();
  const int64_t stride = is_direct ? target.stride : kVecs * kWidth;
  if (is_direct && target.beta == 1) {
    LoadSums<kHasLower, kVecs>(sums, stride);
  } else {
    ClearSums<kHasLower, kVecs>();
  }
  for (int64_t s = 0; s < num_views; ++s) {
    const uint32_t* b = views[s].b + column * views[s].units();
    if (views[s].is_pairs) AddPairView<kHasLower, kVecs>(views[s], b);
    else AddPartView<kHasLower, kVecs>(views[s], b);
  }
  StoreSums<kHasLower, kVecs>(sums, stride);
  if (is_direct) return;
  if (target.dtype == ROCIT_FLOAT32) FinishSums<kVecs, float>(room, rows, target);
  else FinishSums<kVecs, Bfloat16>(room, rows, target);
}
