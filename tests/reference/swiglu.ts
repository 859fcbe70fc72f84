// Float64 twin of swiglu: y = silu(gate) · up with silu(g) = g / (1 + e^-g), and its gradients. arXiv 2002.05202.

/** gate and up of equal length (any shape, flat). */
export interface SwigluInput {
  gate: Float64Array;
  up: Float64Array;
}

/** Of the same length as gate. */
export function swiglu({ gate, up }: SwigluInput): Float64Array {
  return gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i]!);
}

/** dgate and dup for dy; silu'(g) = s + g · s · (1 − s) with s the sigmoid of g. */
export function swigluGrad({ gate, up }: SwigluInput, dy: Float64Array): { dgate: Float64Array; dup: Float64Array } {
  const sigmoid = gate.map((g) => 1 / (1 + Math.exp(-g)));
  const dgate = gate.map((g, i) => dy[i]! * up[i]! * (sigmoid[i]! + g * sigmoid[i]! * (1 - sigmoid[i]!)));
  const dup = gate.map((g, i) => dy[i]! * g * sigmoid[i]!);
  return { dgate, dup };
}
