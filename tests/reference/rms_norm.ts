// Float64 twin of rms_norm: sum = x + residual, y = sum / sqrt(mean(sum²) + eps) · weight, and its input gradient.
// RMSNorm: Zhang and Sennrich, arXiv 1910.07467. Plain loops from the formula; no speed.

/** Arguments of the twin. Arrays are row-major [N, C] = [num_rows, hidden_size]; weight is [C]. */
export interface RmsNormInput {
  num_rows: number;
  hidden_size: number;
  x: Float64Array;
  /** Added to x before the norm; null: nothing is added. */
  residual: Float64Array | null;
  weight: Float64Array;
  eps: number;
}

/** y and sum are [N, C] (sum is a copy of x without a residual), rstd is [N]. */
export function rmsNorm(input: RmsNormInput): { y: Float64Array; sum: Float64Array; rstd: Float64Array } {
  const { num_rows, hidden_size, x, residual, weight, eps } = input;
  const y = new Float64Array(num_rows * hidden_size);
  const sum = new Float64Array(num_rows * hidden_size);
  const rstd = new Float64Array(num_rows);
  for (let n = 0; n < num_rows; n++) {
    let squares = 0;
    for (let c = 0; c < hidden_size; c++) {
      const i = n * hidden_size + c;
      sum[i] = x[i]! + (residual === null ? 0 : residual[i]!);
      squares += sum[i]! * sum[i]!;
    }
    rstd[n] = 1 / Math.sqrt(squares / hidden_size + eps);
    for (let c = 0; c < hidden_size; c++) {
      const i = n * hidden_size + c;
      y[i] = sum[i]! * rstd[n]! * weight[c]!;
    }
  }
  return { y, sum, rstd };
}

/**
 * Gradient of x, which is also that of the residual: dsum + rstd · (g − n · mean(g · n)) with g = dy · weight and
 * n = sum · rstd. `dy` is the gradient of y, `dsum` that of sum where the sum is used on (null: it is not).
 */
export function rmsNormGrad(
  input: RmsNormInput,
  gradient: { dy: Float64Array; dsum: Float64Array | null },
): { dx: Float64Array } {
  const { num_rows, hidden_size, weight } = input;
  const { sum, rstd } = rmsNorm(input);
  const dx = new Float64Array(num_rows * hidden_size);
  for (let n = 0; n < num_rows; n++) {
    let mean = 0;
    for (let c = 0; c < hidden_size; c++) {
      const i = n * hidden_size + c;
      mean += (gradient.dy[i]! * weight[c]! * sum[i]! * rstd[n]!) / hidden_size;
    }
    for (let c = 0; c < hidden_size; c++) {
      const i = n * hidden_size + c;
      dx[i] = rstd[n]! * (gradient.dy[i]! * weight[c]! - sum[i]! * rstd[n]! * mean);
      if (gradient.dsum !== null) dx[i] = dx[i]! + gradient.dsum[i]!;
    }
  }
  return { dx };
}
