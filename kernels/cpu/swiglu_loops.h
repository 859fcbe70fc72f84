// Row loops of swiglu for one vector path; see include/swiglu.h for the formulas.

// `x` between the bounds; NaN stays NaN.
ROCIT_INLINE NativeFloat Clamp(NativeFloat x, float lower, float upper) {
  const NativeFloat low = NativeFloat{} + lower, high = NativeFloat{} + upper;
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeFloat)_mm512_maskz_max_ps(0xffff, (__m512)low, _mm512_maskz_min_ps(0xffff, (__m512)high, (__m512)x));
#elif defined(__x86_64__) && ROCIT_WIDTH == 8
  return (NativeFloat)_mm256_max_ps((__m256)low, _mm256_min_ps((__m256)high, (__m256)x));
#else
  const NativeFloat least = high < x ? high : x;
  return low > least ? low : least;
#endif
}

inline constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: the low bits of a sum with it are the nearest integer

// value * 2^n for the n in the low bits of n + kToInteger.
ROCIT_INLINE NativeFloat TimesPowerOfTwo(NativeFloat value, NativeFloat shifted) {
  return (NativeFloat)((NativeBits)value + ((NativeBits)shifted << 23));
}

// e^-x within 1 unit in the last place, for float32 results. -x = n ln 2 + r with |r| <= ln 2 / 2 and e^r by a polynomial
// that is exact to 1e-8; n ln 2 is taken off in two parts, the first without rounding.
ROCIT_INLINE NativeFloat ExpOfMinus(const float*, NativeFloat x) {
  const NativeFloat minus = Clamp(-x, -87.0f, 87.0f);
  const NativeFloat shifted = minus * 1.44269504f + kToInteger;
  const NativeFloat n = shifted - kToInteger;
  const NativeFloat r = (minus - n * 0.693359375f) + n * 2.12194440e-4f;
  const NativeFloat r2 = r * r;
  const NativeFloat high = 8.3334519073e-3f + r * 1.3981999507e-3f + r2 * 1.9875691500e-4f;
  const NativeFloat low = 0.5f + r * (1.6666665459e-1f + r * 4.1665795894e-2f + r2 * high);
  return TimesPowerOfTwo(1.0f + (r + r2 * low), shifted);
}

// e^-x within 1e-5, for bfloat16 results: 2^t, t = -x / ln 2 = n + f with |f| <= 1/2, by a polynomial of degree 4.
ROCIT_INLINE NativeFloat ExpOfMinus(const Bfloat16*, NativeFloat x) {
  const NativeFloat t = Clamp(x * -1.44269504f, -125.0f, 125.0f);
  const NativeFloat shifted = t + kToInteger;
  const NativeFloat f = t - (shifted - kToInteger);
  const NativeFloat power = 0.99999926f + f * (0.69312181f + f * (0.24024745f + f * (0.05591786f + f * 0.0095701f)));
  return TimesPowerOfTwo(power, shifted);
}

// 1 / (1 + e^-x). Far below zero, where e^-x leaves float32, it stays at the least normal numbers.
template <class T>
ROCIT_INLINE Floats Sigmoid(const T* accuracy, const Floats& x) {
  Floats result;
  for (int i = 0; i < kParts; ++i) result.part[i] = 1.0f / (1.0f + ExpOfMinus(accuracy, x.part[i]));
  return result;
}

template <class T>
struct SwigluColumns {
  const T* gate;
  const T* up;
  T* y;
  ROCIT_INLINE Floats Value(const Floats& g, const Floats& u) const { return g * Sigmoid(y, g) * u; }
  ROCIT_INLINE void Block(int64_t c) const { Store(y + c, Value(Load(gate + c), Load(up + c))); }
  ROCIT_INLINE void Rest(int64_t c, int64_t count) const {
    StoreSome(y + c, Value(LoadSome(gate + c, count), LoadSome(up + c, count)), count);
  }
};

template <class T>
struct SwigluGradColumns {
  const T* dy;
  const T* gate;
  const T* up;
  T* d_gate;
  T* d_up;
  ROCIT_INLINE void Block(int64_t c) const {
    const Floats d = Load(dy + c), g = Load(gate + c), s = Sigmoid(gate, g), silu = g * s;
    Store(d_up + c, d * silu);
    Store(d_gate + c, d * Load(up + c) * (s + silu * (Broadcast(1) - s)));
  }
  ROCIT_INLINE void Rest(int64_t c, int64_t count) const {
    const Floats d = LoadSome(dy + c, count), g = LoadSome(gate + c, count), s = Sigmoid(gate, g), silu = g * s;
    StoreSome(d_up + c, d * silu, count);
    StoreSome(d_gate + c, d * LoadSome(up + c, count) * (s + silu * (Broadcast(1) - s)), count);
  }
};

template <class Columns>
ROCIT_INLINE void EachColumn(int64_t size, const Columns& columns) {
  int64_t c = 0;
  for (; c + kLanes <= size; c += kLanes) columns.Block(c);
  if (c < size) columns.Rest(c, size - c);
}

template <class T>
void SwigluRows(const RocitSwigluArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    EachColumn(a.size, SwigluColumns<T>{static_cast<const T*>(a.gate) + n * a.gate_stride,
                                        static_cast<const T*>(a.up) + n * a.up_stride,
                                        static_cast<T*>(a.y) + n * a.y_stride});
  }
}

template <class T>
void SwigluGradRows(const RocitSwigluGradArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin; n < end; ++n) {
    EachColumn(a.size, SwigluGradColumns<T>{static_cast<const T*>(a.dy) + n * a.dy_stride,
                                            static_cast<const T*>(a.gate) + n * a.gate_stride,
                                            static_cast<const T*>(a.up) + n * a.up_stride,
                                            static_cast<T*>(a.d_gate) + n * a.d_gate_stride,
                                            static_cast<T*>(a.d_up) + n * a.d_up_stride});
  }
}
