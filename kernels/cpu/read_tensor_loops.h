// Conversion loops of read_tensor for one vector path.

// The lanes whose exponent was that of Inf and NaN.
struct NotFinite {
  NativeBits lanes = {};
  ROCIT_INLINE void Add(const Floats& value) {
    for (int i = 0; i < kParts; ++i) {
      lanes |= (NativeBits)(((NativeBits)value.part[i] & 0x7f800000u) == 0x7f800000u);
    }
  }
  ROCIT_INLINE bool Any() const {
    uint32_t found = 0;
    for (int i = 0; i < kWidth; ++i) found |= lanes[i];
    return found != 0;
  }
};

// Converts `count` values; returns false when one of the results is not finite.
template <class From, class To>
bool ConvertValues(const void* source, void* target, int64_t count) {
  const From* from = static_cast<const From*>(source);
  To* to = static_cast<To*>(target);
  NotFinite found;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats value = Rounded(to, Load(from + i));
    found.Add(value);
    Store(to + i, value);
  }
  if (i < count) {
    const Floats value = Rounded(to, LoadSome(from + i, count - i));
    found.Add(value);
    StoreSome(to + i, value, count - i);
  }
  return !found.Any();
}

template <class From>
bool ConvertFrom(RocitDtype dtype, const void* from, void* to, int64_t count) {
  if (dtype == ROCIT_BFLOAT16) return ConvertValues<From, Bfloat16>(from, to, count);
  return ConvertValues<From, float>(from, to, count);
}

inline bool Convert(const RocitReadTensorArgs& args, const void* from, void* to, int64_t count) {
  switch (args.source_dtype) {
    case ROCIT_BFLOAT16:
      return ConvertFrom<Bfloat16>(args.dtype, from, to, count);
    case ROCIT_FLOAT16:
      return ConvertFrom<Float16>(args.dtype, from, to, count);
    case ROCIT_FLOAT32:
      return ConvertFrom<float>(args.dtype, from, to, count);
  }
  return false;
}
