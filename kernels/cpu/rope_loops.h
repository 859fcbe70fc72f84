// Row loops of rope for one vector path; see include/rope.h for the formulas.

typedef uint32_t HalfBits __attribute__((vector_size(2 * ROCIT_WIDTH)));
typedef uint64_t NativeLongs __attribute__((vector_size(4 * ROCIT_WIDTH)));

ROCIT_INLINE NativeDouble WidenHalf(const float* from) {
  return __builtin_convertvector(LoadNative<HalfFloat>(from), NativeDouble);
}

ROCIT_INLINE NativeFloat Join(HalfFloat low, HalfFloat high) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeFloat)_mm512_maskz_insertf32x8(0xffff, _mm512_castps256_ps512((__m256)low), (__m256)high, 1);
#elif defined(__x86_64__) && ROCIT_WIDTH == 8
  return (NativeFloat)_mm256_insertf128_ps(_mm256_castps128_ps256((__m128)low), (__m128)high, 1);
#else
  const HalfFloat both[] = {low, high};
  return LoadNative<NativeFloat>(both);
#endif
}

struct Reduced {
  NativeFloat rest;     // in [-pi / 4, pi / 4]
  NativeBits quadrant;  // the low bits count
};

struct HalfReduced {
  HalfFloat rest;
  HalfBits quadrant;
};

// An angle less the nearest multiple of pi / 2, and which multiple that was. In float64 with pi / 2 in two parts, the first
// of 33 bits: exact to float32 for every angle below 2^20, and to 2^-22 for every int32 position.
ROCIT_INLINE HalfReduced Reduce(NativeDouble angle) {
  const double kToInteger = 6755399441055744.0;  // 1.5 * 2^52: the low bits of the sum are the nearest integer
  const NativeDouble shifted = angle * 0.63661977236758134 + kToInteger;
  const NativeDouble n = shifted - kToInteger;
  const NativeDouble rest = (angle - n * 1.5707963267341256) - n * 6.0771005065061922e-11;
  return {__builtin_convertvector(rest, HalfFloat), __builtin_convertvector((NativeLongs)shifted, HalfBits)};
}

ROCIT_INLINE Reduced Reduce(const float* angles) {
  const HalfReduced low = Reduce(WidenHalf(angles)), high = Reduce(WidenHalf(angles + kWidth / 2));
  return {Join(low.rest, high.rest), (NativeBits)Join((HalfFloat)low.quadrant, (HalfFloat)high.quadrant)};
}

inline constexpr float kSmallAngle = 8192;

// The same for angles below kSmallAngle in float32: pi / 2 in three parts (Cephes), of which two have 11 bits at most, so
// that their products are exact.
ROCIT_INLINE Reduced ReduceSmall(NativeFloat angle) {
  const NativeFloat shifted = angle * 0.636619772f + 12582912.0f;  // 1.5 * 2^23
  const NativeFloat n = shifted - 12582912.0f;
  return {((angle - n * 1.5703125f) - n * 4.837512969970703125e-4f) - n * 7.54978995489188216e-8f, (NativeBits)shifted};
}

struct Turn {
  Floats cos, sin;
};

// Polynomials of the Cephes library, within 1 unit in the last place of 1.
template <bool kIsSmall>
ROCIT_INLINE Turn TurnBy(const Floats& angle) {
  float angles[kLanes];
  if (!kIsSmall) Store(angles, angle);
  Turn turn;
  for (int i = 0; i < kParts; ++i) {
    const auto [r, q] = kIsSmall ? ReduceSmall(angle.part[i]) : Reduce(angles + i * kWidth);
    const NativeFloat z = r * r;
    const NativeFloat sin = r + r * z * ((z * -1.9515295891e-4f + 8.3321608736e-3f) * z - 1.6666654611e-1f);
    const NativeFloat cos =
        (1.0f - 0.5f * z) + z * z * ((z * 2.443315711809948e-5f - 1.388731625493765e-3f) * z + 4.166664568298827e-2f);
    const NativeBits is_odd = (NativeBits)((q & 1u) == 1u);
    const NativeBits sin_bits = (is_odd & (NativeBits)cos) | (~is_odd & (NativeBits)sin);
    const NativeBits cos_bits = (is_odd & (NativeBits)sin) | (~is_odd & (NativeBits)cos);
    turn.sin.part[i] = (NativeFloat)(sin_bits ^ ((q & 2u) << 30));
    turn.cos.part[i] = (NativeFloat)(cos_bits ^ (((q + 1u) & 2u) << 30));
  }
  return turn;
}

// Factors of one row: pair i's at i where half-split; interleaved, channel c's own and its neighbour's at c. Room for whole
// blocks of sixteen pairs.
struct RopeTable {
  float* own;
  float* other;
};

template <bool kIsSmall>
inline void FillTable(const RocitRopeArgs& a, int32_t position, const RopeTable& table) {
  const int64_t pairs = a.rotary_dim / 2;
  const Floats p = Broadcast(static_cast<float>(position)), direction = Broadcast(static_cast<float>(a.direction));
  for (int64_t i = 0; i < pairs; i += kLanes) {
    const bool is_whole = pairs - i >= kLanes;
    const Turn turn = TurnBy<kIsSmall>(p * (is_whole ? Load(a.inv_freq + i) : LoadSome(a.inv_freq + i, pairs - i)));
    const Floats sin = turn.sin * direction;
    if (!a.interleaved) {
      Store(table.own + i, turn.cos);
      Store(table.other + i, sin);
      continue;
    }
    float cosines[kLanes], sines[kLanes];
    Store(cosines, turn.cos);
    Store(sines, sin);
    for (int k = 0; k < kLanes; ++k) {
      table.own[2 * (i + k)] = table.own[2 * (i + k) + 1] = cosines[k];
      table.other[2 * (i + k)] = -sines[k];
      table.other[2 * (i + k) + 1] = sines[k];
    }
  }
}

template <class T>
ROCIT_INLINE void RotateHalves(const T* x, T* y, int64_t pairs, const RopeTable& table) {
  int64_t i = 0;
  for (; i + kLanes <= pairs; i += kLanes) {
    const Floats cos = Load(table.own + i), sin = Load(table.other + i), a = Load(x + i), b = Load(x + pairs + i);
    Store(y + i, a * cos - b * sin);
    Store(y + pairs + i, b * cos + a * sin);
  }
  if (i == pairs) return;
  const int64_t count = pairs - i;
  const Floats cos = Load(table.own + i), sin = Load(table.other + i);
  const Floats a = LoadSome(x + i, count), b = LoadSome(x + pairs + i, count);
  StoreSome(y + i, a * cos - b * sin, count);
  StoreSome(y + pairs + i, b * cos + a * sin, count);
}

// Lanes 2i and 2i + 1 exchanged.
ROCIT_INLINE Floats Neighbours(const Floats& a) {
  NativeBits places;
  for (int i = 0; i < kWidth; ++i) places[i] = i ^ 1;
  Floats result;
  for (int i = 0; i < kParts; ++i) result.part[i] = __builtin_shuffle(a.part[i], places);
  return result;
}

template <class T>
ROCIT_INLINE void RotateNeighbours(const T* x, T* y, int64_t channels, const RopeTable& table) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    const Floats value = Load(x + c);
    Store(y + c, value * Load(table.own + c) + Neighbours(value) * Load(table.other + c));
  }
  if (c == channels) return;
  const int64_t count = channels - c;
  const Floats value = LoadSome(x + c, count);
  StoreSome(y + c, value * Load(table.own + c) + Neighbours(value) * Load(table.other + c), count);
}

template <class T>
ROCIT_INLINE void RotateRow(const RocitRopeArgs& a, const RocitRopeTensor& tensor, int64_t n, const RopeTable& table) {
  for (int64_t h = 0; h < tensor.num_heads; ++h) {
    const T* x = static_cast<const T*>(tensor.x) + n * tensor.x_stride + h * a.head_dim;
    T* y = static_cast<T*>(tensor.y) + n * tensor.y_stride + h * a.head_dim;
    if (a.interleaved) {
      RotateNeighbours(x, y, a.rotary_dim, table);
    } else {
      RotateHalves(x, y, a.rotary_dim / 2, table);
    }
    if (a.rotary_dim < a.head_dim) {
      __builtin_memcpy(y + a.rotary_dim, x + a.rotary_dim, (a.head_dim - a.rotary_dim) * sizeof(T));
    }
  }
}

// `scratch` holds two tables of RopeTableSize floats.
template <class T>
void RopeRows(const RocitRopeArgs& a, float* scratch, int64_t begin, int64_t end) {
  const RopeTable table = {scratch, scratch + rocit::RopeTableSize(a)};
  float fastest = 0;
  for (int64_t i = 0; i < a.rotary_dim / 2; ++i) fastest = std::fmax(fastest, std::fabs(a.inv_freq[i]));
  for (int64_t n = begin; n < end; ++n) {
    const int32_t position = a.position_ids[n];
    if (std::fabs(static_cast<float>(position)) * fastest < kSmallAngle) FillTable<true>(a, position, table);
    else FillTable<false>(a, position, table);
    for (int t = 0; t < a.num_tensors; ++t) RotateRow<T>(a, a.tensors[t], n, table);
  }
}
