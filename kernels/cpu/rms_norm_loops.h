// Row loops of rms_norm for one vector path; see include/rms_norm.h for the formulas.

inline constexpr int64_t kUnroll = 4;  // independent sums, since one chain of additions is slower than memory

// Calls body(column, count, sums[k]) over blocks of sixteen columns; the last may be short.
template <class Body>
ROCIT_INLINE float SumColumns(int64_t columns, const Body& body) {
  Floats sums[kUnroll] = {};
  int64_t c = 0;
  for (; c + kUnroll * kLanes <= columns; c += kUnroll * kLanes) {
    for (int64_t k = 0; k < kUnroll; ++k) sums[k] = sums[k] + body.Block(c + k * kLanes);
  }
  for (; c + kLanes <= columns; c += kLanes) sums[0] = sums[0] + body.Block(c);
  if (c < columns) sums[1] = sums[1] + body.Rest(c, columns - c);
  return Total((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class Body>
ROCIT_INLINE void EachColumn(int64_t columns, const Body& body) {
  int64_t c = 0;
  for (; c + kLanes <= columns; c += kLanes) body.Block(c);
  if (c < columns) body.Rest(c, columns - c);
}

template <class T>
struct SquareOfRow {
  const T* x;
  ROCIT_INLINE Floats Block(int64_t c) const {
    const Floats value = Load(x + c);
    return value * value;
  }
  ROCIT_INLINE Floats Rest(int64_t c, int64_t count) const {
    const Floats value = LoadSome(x + c, count);
    return value * value;
  }
};

template <class T>
struct SquareOfSum {
  const T* x;
  const T* residual;
  T* sum;
  ROCIT_INLINE Floats Block(int64_t c) const {
    const Floats value = Rounded(sum, Load(x + c) + Load(residual + c));
    Store(sum + c, value);
    return value * value;
  }
  ROCIT_INLINE Floats Rest(int64_t c, int64_t count) const {
    const Floats value = Rounded(sum, LoadSome(x + c, count) + LoadSome(residual + c, count));
    StoreSome(sum + c, value, count);
    return value * value;
  }
};

template <class T>
struct Scale {
  const T* sum;
  const T* weight;
  T* y;
  Floats rstd;
  ROCIT_INLINE void Block(int64_t c) const { Store(y + c, Load(sum + c) * rstd * Load(weight + c)); }
  ROCIT_INLINE void Rest(int64_t c, int64_t count) const {
    StoreSome(y + c, LoadSome(sum + c, count) * rstd * LoadSome(weight + c, count), count);
  }
};

template <class T>
void RmsNormRows(const RocitRmsNormArgs& args, int64_t begin, int64_t end) {
  const int64_t columns = args.hidden_size;
  const T* weight = static_cast<const T*>(args.weight);
  for (int64_t row = begin; row < end; ++row) {
    const T* x = static_cast<const T*>(args.x) + row * columns;
    const T* sum = x;
    float squares = 0;
    if (args.residual != nullptr) {
      T* to = static_cast<T*>(args.sum) + row * columns;
      squares = SumColumns(columns, SquareOfSum<T>{x, static_cast<const T*>(args.residual) + row * columns, to});
      sum = to;
    } else {
      squares = SumColumns(columns, SquareOfRow<T>{x});
    }
    const float mean = columns > 0 ? squares / static_cast<float>(columns) : 0.0f;
    const float rstd = 1.0f / __builtin_sqrtf(mean + args.eps);
    args.rstd[row] = rstd;
    EachColumn(columns, Scale<T>{sum, weight, static_cast<T*>(args.y) + row * columns, Broadcast(rstd)});
  }
}

template <class T>
struct WeightedProduct {
  const T* dy;
  const T* sum;
  const T* weight;
  ROCIT_INLINE Floats Block(int64_t c) const { return Load(weight + c) * Load(dy + c) * Load(sum + c); }
  ROCIT_INLINE Floats Rest(int64_t c, int64_t count) const {
    return LoadSome(weight + c, count) * LoadSome(dy + c, count) * LoadSome(sum + c, count);
  }
};

template <class T, bool kHasDsum>
struct InputGradient {
  const T* dy;
  const T* dsum;
  const T* sum;
  const T* weight;
  T* dx;
  Floats rstd, pull;
  ROCIT_INLINE void Block(int64_t c) const {
    const Floats own = Load(weight + c) * Load(dy + c) * rstd - Load(sum + c) * pull;
    Store(dx + c, kHasDsum ? own + Load(dsum + c) : own);
  }
  ROCIT_INLINE void Rest(int64_t c, int64_t count) const {
    const Floats own = LoadSome(weight + c, count) * LoadSome(dy + c, count) * rstd - LoadSome(sum + c, count) * pull;
    StoreSome(dx + c, kHasDsum ? own + LoadSome(dsum + c, count) : own, count);
  }
};

template <class T>
void RmsNormGradRows(const RocitRmsNormGradArgs& args, int64_t begin, int64_t end) {
  const int64_t columns = args.hidden_size;
  const T* weight = static_cast<const T*>(args.weight);
  for (int64_t row = begin; row < end; ++row) {
    const int64_t start = row * columns;
    const T* dy = static_cast<const T*>(args.dy) + start;
    const T* sum = static_cast<const T*>(args.sum) + start;
    T* dx = static_cast<T*>(args.dx) + start;
    const float rstd = args.rstd[row];
    const float product = SumColumns(columns, WeightedProduct<T>{dy, sum, weight});
    const float mean = columns > 0 ? product / static_cast<float>(columns) : 0.0f;
    const Floats pull = Broadcast(mean * rstd * rstd * rstd);
    if (args.dsum != nullptr) {
      const T* dsum = static_cast<const T*>(args.dsum) + start;
      EachColumn(columns, InputGradient<T, true>{dy, dsum, sum, weight, dx, Broadcast(rstd), pull});
    } else {
      EachColumn(columns, InputGradient<T, false>{dy, nullptr, sum, weight, dx, Broadcast(rstd), pull});
    }
  }
}
