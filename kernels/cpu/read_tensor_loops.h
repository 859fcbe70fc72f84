// Conversion loops of read_tensor for one vector path.

// True when the exponent of every lane is below the one of Inf and NaN.
ROCIT_INLINE bool AreFinite(const Floats& value) {
  NativeBits any = {};
  for (int i = 0; i < kParts; ++i) {
    any |= (NativeBits)(((NativeBits)value.part[i] & 0x7f800000u) == 0x7f800000u);
  }
  uint32_t lanes[kWidth], found = 0;
  __builtin_memcpy(lanes, &any, sizeof(any));
  for (int i = 0; i < kWidth; ++i) found |= lanes[i];
  return found == 0;
}

// Converts `count` values; returns false when one of the results is not finite.
template <class From, class To>
bool ConvertValues(const void* source, void* target, int64_t count) {
  const From* from = static_cast<const From*>(source);
  To* to = static_cast<To*>(target);
  bool finite = true;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats value = Rounded(to, Load(from + i));
    finite &= AreFinite(value);
    Store(to + i, value);
  }
  if (i < count) {
    const Floats value = Rounded(to, LoadSome(from + i, count - i));
    finite &= AreFinite(value);
    StoreSome(to + i, value, count - i);
  }
  return finite;
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
