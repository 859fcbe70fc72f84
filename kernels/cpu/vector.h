// Sixteen float lanes whatever the machine's width (ROCIT_WIDTH floats a register), loads and stores of every element
// type, fixed-order sums. With no contraction of a * b + c, all widths give the same bits, but for MultiplyAdd and what is
// made of it, which the portable path rounds twice. Included by each_path.h only.

inline constexpr int kWidth = ROCIT_WIDTH;
inline constexpr int kLanes = 16;
inline constexpr int kParts = kLanes / kWidth;
inline constexpr int kHalfParts = 2 * kParts;

typedef float NativeFloat __attribute__((vector_size(4 * ROCIT_WIDTH)));
typedef uint32_t NativeBits __attribute__((vector_size(4 * ROCIT_WIDTH)));
typedef uint16_t NativeShort __attribute__((vector_size(2 * ROCIT_WIDTH)));
typedef float HalfFloat __attribute__((vector_size(2 * ROCIT_WIDTH)));
typedef double NativeDouble __attribute__((vector_size(4 * ROCIT_WIDTH)));

struct Floats {
  NativeFloat part[kParts];
};

// Sixteen unsigned words.
struct Words {
  NativeBits part[kParts];
};

// Sixteen float64 lanes, for long sums.
struct Doubles {
  NativeDouble part[kHalfParts];
};

#define ROCIT_EACH_PART(count) _Pragma("GCC unroll 8") for (int i = 0; i < (count); ++i)

template <class V>
ROCIT_INLINE V LoadNative(const void* from) {
  V value;
  __builtin_memcpy(&value, from, sizeof(V));
  return value;
}

ROCIT_INLINE NativeFloat BroadcastNative(float value) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeFloat)_mm512_set1_ps(value);
#elif defined(__x86_64__) && ROCIT_WIDTH == 8
  return (NativeFloat)_mm256_set1_ps(value);
#elif defined(__x86_64__)
  return (NativeFloat)_mm_set1_ps(value);
#else
  return NativeFloat{} + value;
#endif
}

ROCIT_INLINE Floats Broadcast(float value) {
  Floats result;
  ROCIT_EACH_PART(kParts) result.part[i] = BroadcastNative(value);
  return result;
}

#define ROCIT_FLOATS_OPERATOR(op)                                        \
  ROCIT_INLINE Floats operator op(const Floats& a, const Floats& b) {    \
    Floats result;                                                       \
    ROCIT_EACH_PART(kParts) result.part[i] = a.part[i] op b.part[i];     \
    return result;                                                       \
  }
ROCIT_FLOATS_OPERATOR(+)
ROCIT_FLOATS_OPERATOR(-)
ROCIT_FLOATS_OPERATOR(*)
ROCIT_FLOATS_OPERATOR(/)
#undef ROCIT_FLOATS_OPERATOR

ROCIT_INLINE NativeFloat SqrtNative(NativeFloat a) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeFloat)_mm512_maskz_sqrt_ps(0xffff, (__m512)a);
#elif defined(__x86_64__) && ROCIT_WIDTH == 8
  return (NativeFloat)_mm256_sqrt_ps((__m256)a);
#elif defined(__x86_64__)
  return (NativeFloat)_mm_sqrt_ps((__m128)a);
#else
  for (int i = 0; i < kWidth; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
#endif
}

ROCIT_INLINE Floats Sqrt(const Floats& a) {
  Floats result;
  ROCIT_EACH_PART(kParts) result.part[i] = SqrtNative(a.part[i]);
  return result;
}

ROCIT_INLINE NativeFloat MaxNative(NativeFloat a, NativeFloat b) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeFloat)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
#elif defined(__x86_64__) && ROCIT_WIDTH == 8
  return (NativeFloat)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return a > b ? a : b;
#endif
}

// The larger of two; b where one is NaN.
ROCIT_INLINE Floats Max(const Floats& a, const Floats& b) {
  Floats result;
  ROCIT_EACH_PART(kParts) result.part[i] = MaxNative(a.part[i], b.part[i]);
  return result;
}

// a * b + c, rounded once from AVX2 on and twice on the portable path.
ROCIT_INLINE NativeFloat MultiplyAdd(NativeFloat a, NativeFloat b, NativeFloat c) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeFloat)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__x86_64__) && ROCIT_WIDTH == 8
  return (NativeFloat)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}

ROCIT_INLINE Floats MultiplyAdd(const Floats& a, const Floats& b, const Floats& c) {
  Floats result;
  ROCIT_EACH_PART(kParts) result.part[i] = MultiplyAdd(a.part[i], b.part[i], c.part[i]);
  return result;
}

// 2^x for x <= 127; 0 below -125; NaN stays NaN. x = n + f with f in [-1/2, 1/2], 2^f by its best polynomial of degree 6
// (relative error 1.6e-8 before rounding): within 2 units in the last place.
ROCIT_INLINE NativeFloat Exp2Native(NativeFloat x) {
  const NativeFloat shifted = x + 12582912.0f;  // 1.5 * 2^23: the low bits are the nearest integer
  const NativeFloat f = x - (shifted - 12582912.0f);
  const NativeFloat c[] = {NativeFloat{} + 1.0f,          NativeFloat{} + 0.69314718f, NativeFloat{} + 0.24022648f,
                           NativeFloat{} + 0.055503324f,  NativeFloat{} + 0.0096184369f,
                           NativeFloat{} + 0.0013398875f, NativeFloat{} + 0.00015353361f};
  NativeFloat sum = c[6];
  ROCIT_EACH_PART(6) sum = MultiplyAdd(sum, f, c[5 - i]);
  const NativeFloat power = (NativeFloat)((NativeBits)sum + ((NativeBits)shifted << 23));
  return x < -125.0f ? NativeFloat{} : power;
}

ROCIT_INLINE Floats Exp2(const Floats& x) {
  Floats result;
  ROCIT_EACH_PART(kParts) result.part[i] = Exp2Native(x.part[i]);
  return result;
}

ROCIT_INLINE Words BroadcastWord(uint32_t value) {
  Words result;
  ROCIT_EACH_PART(kParts) result.part[i] = NativeBits{} + value;
  return result;
}

ROCIT_INLINE Words LoadWords(const uint32_t* from) {
  Words result;
  ROCIT_EACH_PART(kParts) result.part[i] = LoadNative<NativeBits>(from + i * kWidth);
  return result;
}

// `value` in the lanes where a - b < bound as unsigned words, `other` in the rest.
ROCIT_INLINE Floats WhereWithin(const Words& a, const Words& b, const Words& bound, const Floats& value, const Floats& other) {
  Floats result;
  ROCIT_EACH_PART(kParts) {
    result.part[i] = a.part[i] - b.part[i] < bound.part[i] ? value.part[i] : other.part[i];
  }
  return result;
}

ROCIT_INLINE NativeBits ZeroExtend(NativeShort bits) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeBits)_mm512_maskz_cvtepu16_epi32(0xffff, (__m256i)bits);
#else
  return __builtin_convertvector(bits, NativeBits);
#endif
}

// The lower halves.
ROCIT_INLINE NativeShort Truncate(NativeBits bits) {
#if defined(__x86_64__) && ROCIT_WIDTH == 16
  return (NativeShort)_mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)bits);
#else
  return __builtin_convertvector(bits, NativeShort);
#endif
}

// bfloat16 is the upper half of float32.
ROCIT_INLINE NativeFloat Widen(Bfloat16, NativeShort bits) { return (NativeFloat)(ZeroExtend(bits) << 16); }

// Exact for subnormals too, without touching a float32 subnormal: they are built by a subtraction of normal numbers.
ROCIT_INLINE NativeFloat Widen(Float16, NativeShort half) {
  const NativeBits bits = ZeroExtend(half);
  const NativeBits shifted = (bits & 0x7fffu) << 13;
  const NativeBits exponent = shifted & 0x0f800000u;
  const NativeBits normal = shifted + (112u << 23);
  const NativeBits infinite = shifted + (224u << 23);
  const NativeBits one = NativeBits{} + (113u << 23);
  const NativeBits subnormal = (NativeBits)((NativeFloat)(shifted + one) - (NativeFloat)one);
  const NativeBits magnitude = exponent == 0x0f800000u ? infinite : (exponent == 0u ? subnormal : normal);
  return (NativeFloat)(magnitude | ((bits & 0x8000u) << 16));
}

// Round to nearest even; NaN stays NaN.
ROCIT_INLINE NativeShort Narrow(NativeFloat value) {
  const NativeBits bits = (NativeBits)value;
  const NativeBits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const NativeBits nan = (bits >> 16) | 0x40u;
  return Truncate(value != value ? nan : rounded);
}

ROCIT_INLINE Floats Load(const float* from) {
  Floats result;
  ROCIT_EACH_PART(kParts) result.part[i] = LoadNative<NativeFloat>(from + i * kWidth);
  return result;
}

template <class Short>
ROCIT_INLINE Floats Load(const Short* from) {
  Floats result;
  ROCIT_EACH_PART(kParts) result.part[i] = Widen(Short{}, LoadNative<NativeShort>(from + i * kWidth));
  return result;
}

ROCIT_INLINE void Store(float* to, const Floats& value) {
  ROCIT_EACH_PART(kParts) __builtin_memcpy(to + i * kWidth, &value.part[i], sizeof(NativeFloat));
}

ROCIT_INLINE void Store(Bfloat16* to, const Floats& value) {
  ROCIT_EACH_PART(kParts) {
    const NativeShort bits = Narrow(value.part[i]);
    __builtin_memcpy(to + i * kWidth, &bits, sizeof(bits));
  }
}

// The first `count` < 16 values, the other lanes zero.
template <class T>
ROCIT_INLINE Floats LoadSome(const T* from, int64_t count) {
  T lanes[kLanes] = {};
  __builtin_memcpy(lanes, from, count * sizeof(T));
  return Load(lanes);
}

template <class T>
ROCIT_INLINE void StoreSome(T* to, const Floats& value, int64_t count) {
  T lanes[kLanes];
  Store(lanes, value);
  __builtin_memcpy(to, lanes, count * sizeof(T));
}

// What a store to T followed by a load gives.
ROCIT_INLINE Floats Rounded(const float*, const Floats& value) { return value; }
ROCIT_INLINE Floats Rounded(const Bfloat16*, const Floats& value) {
  Floats result;
  ROCIT_EACH_PART(kParts) result.part[i] = Widen(Bfloat16{}, Narrow(value.part[i]));
  return result;
}

// The sum of the lanes, always in the same order.
ROCIT_INLINE float Total(const Floats& value) {
  float lanes[kLanes];
  Store(lanes, value);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

// sum += from^2 in float64, sixteen values.
ROCIT_INLINE void AddSquares(Doubles* sum, const float* from) {
  ROCIT_EACH_PART(kHalfParts) {
    const NativeDouble value = __builtin_convertvector(LoadNative<HalfFloat>(from + i * kWidth / 2), NativeDouble);
    sum->part[i] += value * value;
  }
}

ROCIT_INLINE double Total(const Doubles& value) {
  double lanes[kLanes];
  __builtin_memcpy(lanes, &value, sizeof(lanes));
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) lanes[i] += lanes[i + width];
  }
  return lanes[0];
}

#undef ROCIT_EACH_PART
