// The tile registers of AMX (Intel's manual, TDPBF16PS): sums of 32 rows by 32 columns in four tiles, 32 bfloat16 of the
// depth an instruction, which takes subnormal numbers for zero. Included once a path, where ROCIT_AMX is 1.

// Compilers do not know that tile instructions read memory: what was stored before is there for them.
ROCIT_INLINE void SettleMemory() { __asm__ volatile("" ::: "memory"); }

// The tile registers of this thread, given back at the end. 0 to 3: sums of the upper and the lower rows; 4, 5: their a;
// 6, 7: the halves of b.
class TileRegisters {
 public:
  ~TileRegisters() {
    if (rows_ > 0) _tile_release();
  }
  void Configure(int64_t rows) {
    if (rows == rows_) return;
    rows_ = rows;
    struct {
      uint8_t palette = 1, start = 0, unused[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } shape;
    const uint8_t upper = static_cast<uint8_t>(rows < 16 ? rows : 16), lower = static_cast<uint8_t>(rows - upper);
    const uint8_t all[8] = {upper, upper, lower, lower, upper, lower, 16, 16};
    for (int i = 0; i < 8; ++i) {
      shape.rows[i] = all[i];
      shape.bytes[i] = all[i] > 0 ? 64 : 0;
    }
    __asm__ volatile("" : : "r"(&shape) : "memory");
    _tile_loadconfig(&shape);
  }

 private:
  int64_t rows_ = 0;
};

// 32 of the depth. kVecs: 16 columns each; b is read once.
template <bool kHasLower, int kVecs>
ROCIT_INLINE void AddOnTiles(const void* a, int64_t a_bytes, const void* b, int64_t b_bytes) {
  _tile_stream_loadd(6, b, b_bytes);
  _tile_loadd(4, a, a_bytes);
  _tile_dpbf16ps(0, 4, 6);
  if (kVecs == 2) {
    _tile_stream_loadd(7, (const char*)b + 64, b_bytes);
    _tile_dpbf16ps(1, 4, 7);
  }
  if (!kHasLower) return;
  _tile_loadd(5, (const char*)a + 16 * a_bytes, a_bytes);
  _tile_dpbf16ps(2, 5, 6);
  if (kVecs == 2) _tile_dpbf16ps(3, 5, 7);
}

template <bool kHasLower, int kVecs>
ROCIT_INLINE void LoadSums(const float* from, int64_t stride) {
  _tile_loadd(0, from, 4 * stride);
  if (kVecs == 2) _tile_loadd(1, from + kWidth, 4 * stride);
  if (!kHasLower) return;
  _tile_loadd(2, from + 16 * stride, 4 * stride);
  if (kVecs == 2) _tile_loadd(3, from + 16 * stride + kWidth, 4 * stride);
}

template <bool kHasLower, int kVecs>
ROCIT_INLINE void ClearSums() {
  _tile_zero(0);
  if (kVecs == 2) _tile_zero(1);
  if (kHasLower) _tile_zero(2);
  if (kHasLower && kVecs == 2) _tile_zero(3);
}

template <bool kHasLower, int kVecs>
ROCIT_INLINE void StoreSums(float* to, int64_t stride) {
  _tile_stored(0, to, 4 * stride);
  if (kVecs == 2) _tile_stored(1, to + kWidth, 4 * stride);
  if (!kHasLower) return;
  _tile_stored(2, to + 16 * stride, 4 * stride);
  if (kVecs == 2) _tile_stored(3, to + 16 * stride + kWidth, 4 * stride);
}
