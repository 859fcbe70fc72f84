// Float64 twin of lora_linear: y = x Wᵀ + bias + scaling · ((mask · x) Aᵀ) Bᵀ for one or several projections of the same x,
// with dx, dA and dB. LoRA: Hu et al., arXiv 2106.09685. Plain loops from the formula; no speed.

/** One projection: weight [out, in], bias [out] or null, adapter or null. */
export interface LoraProjection {
  out_features: number;
  weight: Float64Array;
  bias: Float64Array | null;
  lora: LoraAdapter | null;
}

/** A [r, in], B [out, r]; mask [N, in] holds 0 or 1 / (1 − p) of the dropout on the adapter's input, null: no dropout. */
export interface LoraAdapter {
  r: number;
  A: Float64Array;
  B: Float64Array;
  scaling: number;
  mask: Float64Array | null;
}

/** x is [N, in] = [num_rows, in_features]. */
export interface LoraLinearInput {
  num_rows: number;
  in_features: number;
  x: Float64Array;
  projections: LoraProjection[];
}

/** a [rows, inner] times b [columns, inner] transposed. */
function timesTransposed(a: Float64Array, b: Float64Array, rows: number, inner: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let total = 0;
      for (let k = 0; k < inner; k++) total += a[i * inner + k]! * b[j * inner + k]!;
      out[i * columns + j] = total;
    }
  }
  return out;
}

/** a [rows, inner] times b [inner, columns]. */
function times(a: Float64Array, b: Float64Array, rows: number, inner: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let total = 0;
      for (let k = 0; k < inner; k++) total += a[i * inner + k]! * b[k * columns + j]!;
      out[i * columns + j] = total;
    }
  }
  return out;
}

/** a [inner, rows] transposed times b [inner, columns]. */
function transposedTimes(a: Float64Array, b: Float64Array, rows: number, inner: number, columns: number): Float64Array {
  const out = new Float64Array(rows * columns);
  for (let k = 0; k < inner; k++) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        out[i * columns + j] = out[i * columns + j]! + a[k * rows + i]! * b[k * columns + j]!;
      }
    }
  }
  return out;
}

function addTo(total: Float64Array, values: Float64Array): void {
  for (let i = 0; i < total.length; i++) total[i] = total[i]! + values[i]!;
}

function masked(x: Float64Array, mask: Float64Array | null): Float64Array {
  return mask === null ? x : x.map((value, i) => value * mask[i]!);
}

/** One y [N, out] a projection. */
export function loraLinear(input: LoraLinearInput): Float64Array[] {
  const { num_rows, in_features, x } = input;
  return input.projections.map(({ out_features, weight, bias, lora }) => {
    const y = timesTransposed(x, weight, num_rows, in_features, out_features);
    if (bias !== null)
      addTo(
        y,
        y.map((_, i) => bias[i % out_features]!),
      );
    if (lora !== null) {
      const down = timesTransposed(masked(x, lora.mask), lora.A, num_rows, in_features, lora.r);
      const up = timesTransposed(down, lora.B, num_rows, lora.r, out_features);
      addTo(
        y,
        up.map((value) => lora.scaling * value),
      );
    }
    return y;
  });
}

/**
 * Gradients for `dy` (one [N, out] a projection): dx [N, in] summed over the projections, and for each projection
 * dA [r, in] and dB [out, r], or null where it has no adapter. Weight and bias are frozen and get none.
 */
export function loraLinearGrad(
  input: LoraLinearInput,
  dy: Float64Array[],
): { dx: Float64Array; lora: ({ dA: Float64Array; dB: Float64Array } | null)[] } {
  const { num_rows, in_features, x } = input;
  const dx = new Float64Array(num_rows * in_features);
  const lora = input.projections.map((projection, p) => {
    const { out_features, weight, lora: adapter } = projection;
    addTo(dx, times(dy[p]!, weight, num_rows, out_features, in_features));
    if (adapter === null) return null;
    const { r, A, B, scaling, mask } = adapter;
    const inner = masked(x, mask);
    const down = timesTransposed(inner, A, num_rows, in_features, r);
    const ddown = times(dy[p]!, B, num_rows, out_features, r).map((value) => scaling * value);
    addTo(dx, masked(times(ddown, A, num_rows, r, in_features), mask));
    return {
      dA: transposedTimes(ddown, inner, r, num_rows, in_features),
      dB: transposedTimes(dy[p]!, down, out_features, num_rows, r).map((value) => scaling * value),
    };
  });
  return { dx, lora };
}
