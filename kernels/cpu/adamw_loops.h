// Chunk loops of adamw for one vector path; see include/adamw.h for the formulas.

// The sum of squares in float64. Not finite exactly when a value is not: no finite float's square overflows a double.
inline double SumOfSquares(const float* from, int64_t count) {
  Doubles sum = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) AddSquares(&sum, from + i);
  if (i < count) {
    float rest[kLanes] = {};
    __builtin_memcpy(rest, from + i, (count - i) * sizeof(float));
    AddSquares(&sum, rest);
  }
  return Total(sum);
}

struct UpdateVectors {
  Floats scale, beta1, beta2, rest1, rest2, decay, step, root, eps;
};

struct UpdatedLanes {
  Floats p, m, v;
};

ROCIT_INLINE UpdatedLanes UpdateLanes(const UpdateVectors& u, const Floats& p, const Floats& grad, const Floats& m,
                                      const Floats& v) {
  const Floats g = grad * u.scale;
  UpdatedLanes out;
  out.m = u.beta1 * m + u.rest1 * g;
  out.v = u.beta2 * v + u.rest2 * g * g;
  out.p = p * u.decay - u.step * (out.m / (Sqrt(out.v) * u.root + u.eps));
  return out;
}

inline void UpdateChunk(const AdamwFactors& f, const AdamwChunk& chunk) {
  const UpdateVectors u = {Broadcast(f.scale), Broadcast(f.beta1), Broadcast(f.beta2), Broadcast(f.rest1), Broadcast(f.rest2),
                           Broadcast(f.decay), Broadcast(f.step), Broadcast(f.root), Broadcast(f.eps)};
  int64_t i = 0;
  for (; i + kLanes <= chunk.count; i += kLanes) {
    const UpdatedLanes out = UpdateLanes(u, Load(chunk.p + i), Load(chunk.g + i), Load(chunk.m + i), Load(chunk.v + i));
    Store(chunk.new_p + i, out.p);
    Store(chunk.new_m + i, out.m);
    Store(chunk.new_v + i, out.v);
  }
  if (i == chunk.count) return;
  const int64_t rest = chunk.count - i;
  const UpdatedLanes out = UpdateLanes(u, LoadSome(chunk.p + i, rest), LoadSome(chunk.g + i, rest),
                                       LoadSome(chunk.m + i, rest), LoadSome(chunk.v + i, rest));
  StoreSome(chunk.new_p + i, out.p, rest);
  StoreSome(chunk.new_m + i, out.m, rest);
  StoreSome(chunk.new_v + i, out.v, rest);
}
