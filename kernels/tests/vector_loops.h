// The vector functions that tests/vector_test.cc looks at, for one vector path.

inline void PowersOfTwo(const float* from, float* to, int64_t count) {
  for (int64_t i = 0; i < count; i += kLanes) Store(to + i, Exp2(Load(from + i)));
}

inline void Largest(const float* a, const float* b, float* to) { Store(to, Max(Load(a), Load(b))); }
