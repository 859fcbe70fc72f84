// Packing b of a segment into panels, and the rows of a that a tile cannot read where they lie. Included after
// gemm_tile.h. A panel holds [units][columns] words: float32, or pairs of bfloat16 neighbours of the depth.

// Transposes kWidth x kWidth words.
ROCIT_INLINE void Transpose(NativeBits (&rows)[kWidth]) {
#pragma GCC unroll 4
  for (int step = 1; step < kWidth; step *= 2) {
    NativeBits low, high;
#pragma GCC unroll 16
    for (int j = 0; j < kWidth; ++j) {
      low[j] = (j & step) ? kWidth + j - step : j;
      high[j] = (j & step) ? kWidth + j : j + step;
    }
#pragma GCC unroll 16
    for (int i = 0; i < kWidth; ++i) {
      if (i & step) continue;
      const NativeBits a = rows[i], b = rows[i + step];
      rows[i] = __builtin_shuffle(a, b, low);
      rows[i + step] = __builtin_shuffle(a, b, high);
    }
  }
}

// Words of a [columns, depth] matrix in memory: float32 as it is, bfloat16 widened, or two bfloat16 as they lie.
struct FloatWords {
  static constexpr int kElements = 1;
  const float* data;
  int64_t stride;
  ROCIT_INLINE NativeBits Load(int64_t row, int64_t unit) const { return (NativeBits)LoadWide(data + row * stride + unit); }
  ROCIT_INLINE uint32_t One(int64_t row, int64_t unit, int64_t) const {
    uint32_t word;
    __builtin_memcpy(&word, data + row * stride + unit, 4);
    return word;
  }
};

struct WideWords {
  static constexpr int kElements = 1;
  const Bfloat16* data;
  int64_t stride;
  ROCIT_INLINE NativeBits Load(int64_t row, int64_t unit) const { return (NativeBits)LoadWide(data + row * stride + unit); }
  ROCIT_INLINE uint32_t One(int64_t row, int64_t unit, int64_t) const {
    return static_cast<uint32_t>(data[row * stride + unit].bits) << 16;
  }
};

struct PairsInMemory {
  static constexpr int kElements = 2;
  const Bfloat16* data;
  int64_t stride;
  ROCIT_INLINE NativeBits Load(int64_t row, int64_t unit) const {
    return LoadNative<NativeBits>(data + row * stride + 2 * unit);
  }
  ROCIT_INLINE uint32_t One(int64_t row, int64_t unit, int64_t depth) const {
    const Bfloat16* pair = data + row * stride + 2 * unit;
    return pair[0].bits | (2 * unit + 1 < depth ? static_cast<uint32_t>(pair[1].bits) << 16 : 0);
  }
};

// One panel of `width` columns, `count` of them there, from rows of memory.
template <class Words>
ROCIT_INLINE void PackTransposed(const Words& from, int64_t depth, int64_t count, int64_t width, uint32_t* to) {
  const int64_t units = (depth + Words::kElements - 1) / Words::kElements, whole = depth / Words::kElements;
  for (int64_t j = 0; j < width; j += kWidth) {
    int64_t u = 0;
    if (j + kWidth <= count) {
      for (; u + kWidth <= whole; u += kWidth) {
        NativeBits rows[kWidth];
        for (int i = 0; i < kWidth; ++i) rows[i] = from.Load(j + i, u);
        Transpose(rows);
        for (int i = 0; i < kWidth; ++i) __builtin_memcpy(to + (u + i) * width + j, &rows[i], sizeof(NativeBits));
      }
    }
    for (; u < units; ++u) {
      for (int64_t i = j; i < j + kWidth; ++i) to[u * width + i] = i < count ? from.One(i, u, depth) : 0;
    }
  }
}

// One panel from [depth, columns] in memory, widened to float32 and scaled.
template <class T>
ROCIT_INLINE void PackRows(const T* from, int64_t stride, int64_t depth, int64_t count, int64_t width, float scale,
                           float* to) {
  const NativeFloat factor = Splat(scale);
  for (int64_t k = 0; k < depth; ++k) {
    for (int64_t j = 0; j < width; j += kWidth) {
      StoreNarrow(to + k * width + j, LoadWideSome(from + k * stride + j, count - j) * factor);
    }
  }
}

ROCIT_INLINE NativeBits LoadShorts(const Bfloat16* from, int64_t count) {
  Bfloat16 lanes[kWidth] = {};
  if (count >= kWidth) return __builtin_convertvector(LoadNative<NativeShort>(from), NativeBits);
  if (count > 0) __builtin_memcpy(lanes, from, count * sizeof(Bfloat16));
  return __builtin_convertvector(LoadNative<NativeShort>(lanes), NativeBits);
}

// One panel of pairs from [depth, columns] in memory.
ROCIT_INLINE void PackRowPairs(const Bfloat16* from, int64_t stride, int64_t depth, int64_t count, int64_t width,
                               uint32_t* to) {
  for (int64_t k = 0; k < depth; k += 2) {
    for (int64_t j = 0; j < width; j += kWidth) {
      NativeBits pair = LoadShorts(from + k * stride + j, count - j);
      if (k + 1 < depth) pair |= LoadShorts(from + (k + 1) * stride + j, count - j) << 16;
      __builtin_memcpy(to + k / 2 * width + j, &pair, sizeof(pair));
    }
  }
}

inline bool HasPairs(const Segment& s) {
  return kHasPairs && IsPairs(s);
}

// Words that the slab of a segment takes.
inline int64_t PackedWords(const Segment& s, int64_t columns) {
  return Units(s.depth, HasPairs(s)) * ((columns + kWidth - 1) / kWidth * kWidth);
}

// One panel from [columns, depth] in memory.
inline void PackTransposedPanel(const Segment& s, const void* from, int64_t count, int64_t width, uint32_t* to) {
  const Bfloat16* halves = static_cast<const Bfloat16*>(from);
  const float* floats = static_cast<const float*>(from);
  float* wide = reinterpret_cast<float*>(to);
  if (HasPairs(s)) PackTransposed(PairsInMemory{halves, s.b.stride}, s.depth, count, width, to);
  else if (s.b.dtype == ROCIT_FLOAT32) PackTransposed(FloatWords{floats, s.b.stride}, s.depth, count, width, to);
  else PackTransposed(WideWords{halves, s.b.stride}, s.depth, count, width, to);
  if (s.scale == 1) return;
  for (int64_t i = 0; i < s.depth * width; i += kWidth) StoreNarrow(wide + i, LoadWide(wide + i) * Splat(s.scale));
}

// `depth` rows of one panel from [depth, columns] in memory.
inline void PackRowsOfPanel(const Segment& s, const void* from, int64_t depth, int64_t count, int64_t width,
                            uint32_t* to) {
  const Bfloat16* halves = static_cast<const Bfloat16*>(from);
  float* wide = reinterpret_cast<float*>(to);
  if (HasPairs(s)) PackRowPairs(halves, s.b.stride, depth, count, width, to);
  else if (s.b.dtype == ROCIT_BFLOAT16) PackRows(halves, s.b.stride, depth, count, width, s.scale, wide);
  else PackRows(static_cast<const float*>(from), s.b.stride, depth, count, width, s.scale, wide);
}

ROCIT_INLINE uint32_t RowKey(uint64_t seed, uint64_t row) {
  uint64_t z = seed + (row + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return static_cast<uint32_t>((z ^ (z >> 31)) >> 32);
}

// The factors of kWidth columns: 0, or the scale of what is kept (the mixer is the one of Wellons' lowbias32).
ROCIT_INLINE NativeFloat KeepFactors(const Dropout& dropout, uint32_t row_key, int64_t column) {
  NativeBits x;
  for (int i = 0; i < kWidth; ++i) x[i] = i;
  x = (x + static_cast<uint32_t>(column)) * 0x9e3779b1u ^ row_key;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  x = x ^ (x >> 16);
  const NativeBits kept = (NativeBits)(x >= NativeBits{} + dropout.threshold);
  return (NativeFloat)((NativeBits)Splat(dropout.scale) & kept);
}

#if defined(ROCIT_AMX)
#include "amx_parts.h"
#endif

inline constexpr int64_t kPackRows = 32;  // even; so that all panels are made of rows that are in the first-level cache

// Columns [begin, begin + columns) of b as panels.
inline void PackSlab(const Segment& s, int64_t begin, int64_t columns, uint32_t* to) {
  const bool is_pairs = HasPairs(s);
#if defined(ROCIT_AMX)
  if (!is_pairs) return PackParts(s, begin, columns, to);
#endif
  const int64_t units = Units(s.depth, is_pairs), filled = is_pairs ? (s.depth + 1) / 2 : s.depth;
  const int64_t step = s.b.is_transposed ? s.depth : kPackRows;
  for (int64_t k = 0; k < s.depth; k += step) {
    const int64_t depth = s.depth - k < step ? s.depth - k : step;
    for (int64_t j = 0; j < columns; j += kPanel) {
      const int64_t count = columns - j < kPanel ? columns - j : kPanel;
      const int64_t width = count > kWidth ? kPanel : kWidth;
      uint32_t* panel = to + j * units;
      if (s.b.is_transposed) {
        PackTransposedPanel(s, At(s.b.data, s.b.dtype, (begin + j) * s.b.stride), count, width, panel);
      } else {
        const void* from = At(s.b.data, s.b.dtype, k * s.b.stride + begin + j);
        PackRowsOfPanel(s, from, depth, count, width, panel + (is_pairs ? k / 2 : k) * width);
      }
      if (k + depth == s.depth) __builtin_memset(panel + filled * width, 0, (units - filled) * width * sizeof(uint32_t));
    }
  }
}

// to[column] = from[column] (widened), times the mask of dropout unless that is null.
template <class T>
ROCIT_INLINE void WidenRow(const T* from, int64_t count, const Dropout* dropout, int64_t row, int64_t column, float* to) {
  const uint32_t key = dropout != nullptr ? RowKey(dropout->seed, row) : 0;
  for (int64_t j = 0; j < count; j += kWidth) {
    NativeFloat value = LoadWideSome(from + j, count - j);
    if (dropout != nullptr) value = value * KeepFactors(*dropout, key, column + j);
    StoreNarrowSome(to + j, value, count - j);
  }
}

// The values of each row behind whole tiles, filled up with zeros.
inline void FillRest(const RowView& view, int64_t rows, Bfloat16* to) {
  const int64_t whole = view.depth / 32 * 32, count = view.depth - whole;
  for (int64_t r = 0; count > 0 && r < rows; ++r) {
    __builtin_memset((void*)(to + r * 32), 0, 64);
    __builtin_memcpy((void*)(to + r * 32), static_cast<const Bfloat16*>(view.a) + r * view.stride + whole, 2 * count);
  }
}

// Words that ViewRows may need; on AMX for parts, or for pairs that are transposed and what is behind their whole tiles.
inline int64_t RoomWords(const Segment& s) {
  if (!kHasTiles) return kGroupRows * s.depth;
  if (!HasPairs(s)) return Units(s.depth, false) * kGroupRows;
  return kGroupRows / 2 * ((s.a.is_transposed ? s.depth : 0) + 32);
}

// Rows [row, row + rows) of a as the tile reads them: where they lie, or widened, masked or transposed into `room`.
inline RowView ViewRows(const Segment& s, int64_t row, int64_t rows, const uint32_t* packed, float* room) {
  const bool is_pairs = HasPairs(s);
#if defined(ROCIT_AMX)
  if (!is_pairs) return ViewParts(s, row, rows, packed, room);
#endif
  const bool is_float = s.a.dtype == ROCIT_FLOAT32;
  const int64_t at = s.a.is_transposed ? row : row * s.a.stride;
  const void* from = At(s.a.data, s.a.dtype, at);
  if (!s.a.is_transposed && s.dropout == nullptr && (is_pairs || is_float)) {
    const RowView view = {from, s.a.stride, packed, s.depth, is_pairs, room};
    if (kHasTiles && is_pairs) FillRest(view, rows, reinterpret_cast<Bfloat16*>(room));
    return view;
  }
  const float* floats = static_cast<const float*>(from);
  const Bfloat16* halves = static_cast<const Bfloat16*>(from);
  for (int64_t r = 0; r < rows; ++r) {
    float* to = room + r * s.depth;
    if (!s.a.is_transposed) {
      if (is_float) WidenRow(floats + r * s.a.stride, s.depth, s.dropout, row + r, 0, to);
      else WidenRow(halves + r * s.a.stride, s.depth, s.dropout, row + r, 0, to);
      continue;
    }
    for (int64_t k = 0; k < s.depth; ++k) {
      const int64_t i = k * s.a.stride + r;
      if (is_float) to[k] = floats[i];
      else if (is_pairs) reinterpret_cast<Bfloat16*>(room)[r * s.depth + k] = halves[i];
      else reinterpret_cast<uint32_t*>(to)[k] = static_cast<uint32_t>(halves[i].bits) << 16;
    }
  }
  // Behind the rows there is room for what is left of them.
  Bfloat16* rest = reinterpret_cast<Bfloat16*>(room) + rows * s.depth;
  const RowView view = {room, s.depth, packed, s.depth, is_pairs, rest};
  if (kHasTiles && is_pairs) FillRest(view, rows, rest);
  return view;
}

// Some rows and columns: packs the columns once, then takes the rows group by group.
inline void MultiplySlab(const Product& product, const Piece& piece) {
  const int64_t columns = piece.column_end - piece.column_begin, num = product.num_segments;
  int64_t words = 0, room = 0;
  for (int64_t s = 0; s < num; ++s) {
    words += PackedWords(product.segments[s], columns);
    room += RoomWords(product.segments[s]);
  }
  uint32_t* packed = ThreadScratch<uint32_t>(Scratch::kPanels, words);
  float* rooms = ThreadScratch<float>(Scratch::kRows, room);
  float* bias = nullptr;
  if (product.bias != nullptr) {
    bias = ThreadScratch<float>(Scratch::kTile, columns + kPanel);
    for (int64_t j = 0; j < columns + kPanel; ++j) bias[j] = 0;
    const void* from = At(product.bias, product.bias_dtype, piece.column_begin);
    if (product.bias_dtype == ROCIT_FLOAT32) WidenRow(static_cast<const float*>(from), columns, nullptr, 0, 0, bias);
    else WidenRow(static_cast<const Bfloat16*>(from), columns, nullptr, 0, 0, bias);
  }
  const uint32_t* starts[kMostSegments];
  uint32_t* next = packed;
  for (int64_t s = 0; s < num; ++s) {
    PackSlab(product.segments[s], piece.column_begin, columns, next);
    starts[s] = next;
    next += PackedWords(product.segments[s], columns);
  }
  TileRegisters registers;
  for (int64_t row = piece.row_begin; row < piece.row_end;) {
    const int64_t rows = NextRows(piece.row_end - row);
    RowView views[kMostSegments];
    float* at = rooms;
    for (int64_t s = 0; s < num; ++s) {
      views[s] = ViewRows(product.segments[s], row, rows, starts[s], at);
      at += RoomWords(product.segments[s]);
    }
    char* c = const_cast<char*>(At(product.c, product.c_dtype, row * product.c_stride + piece.column_begin));
    MultiplyPanels(rows, views, num, {c, product.c_stride, columns, product.c_dtype, bias, product.beta},
                   &registers);
    row += rows;
  }
}

#if defined(ROCIT_AMX)
// Part of the depth of a segment.
inline Segment DepthOf(const Segment& s, int64_t begin, int64_t depth) {
  Segment part = s;
  part.a.data = At(s.a.data, s.a.dtype, begin * (s.a.is_transposed ? s.a.stride : 1));
  part.b.data = At(s.b.data, s.b.dtype, begin * (s.b.is_transposed ? 1 : s.b.stride));
  part.depth = depth;
  return part;
}

inline void MultiplyStretches(const Product& product, const Piece& piece) {
  constexpr int64_t kLittle = 64;  // of an adapter, which goes with the stretch before it
  Segment parts[kMostSegments];
  Product stretch = product;
  stretch.segments = parts;
  stretch.num_segments = 0;
  for (int64_t s = 0; s < product.num_segments; ++s) {
    const int64_t whole = product.segments[s].depth, count = (whole + kPartsDepth - 1) / kPartsDepth;
    for (int64_t i = 0, k = 0; i < count; ++i) {
      const int64_t left = whole - k, depth = i + 1 < count ? (left / (count - i) + 31) / 32 * 32 : left;
      parts[stretch.num_segments++] = DepthOf(product.segments[s], k, depth);
      k += depth;
      if (i + 1 == count && s + 1 < product.num_segments && product.segments[s + 1].depth <= kLittle) continue;
      MultiplySlab(stretch, piece);
      stretch.num_segments = 0;
      stretch.bias = nullptr;
      stretch.beta = 1;
    }
  }
  if (stretch.num_segments > 0) MultiplySlab(stretch, piece);
}
#endif

inline void MultiplyPiece(const Piece& piece) {
#if defined(ROCIT_AMX)
  if (HasStretches(*piece.product)) return MultiplyStretches(*piece.product, piece);
#endif
  MultiplySlab(*piece.product, piece);
}
