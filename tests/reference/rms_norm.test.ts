// The twin of rms_norm against PyTorch in float64 and against central differences.
import { describe, expect, it } from 'vitest';
import { centralDifference, weightedSum } from './central_difference.ts';
import { float64, readOpGoldens } from './op_goldens.ts';
import { relativeError } from './relative_error.ts';
import { rmsNorm, rmsNormGrad } from './rms_norm.ts';

describe.each(readOpGoldens().rms_norm)('twin of rms_norm, $num_rows × $hidden_size, eps $eps', (golden) => {
  const input = { ...golden, x: float64(golden.x), residual: float64(golden.residual), weight: float64(golden.weight) };
  const gradient = { dy: float64(golden.dy), dsum: float64(golden.dsum) };

  it("gives PyTorch's value", () => {
    const { y, sum } = rmsNorm(input);
    expect(relativeError(y, golden.y)).toBeLessThan(1e-13);
    expect(relativeError(sum, golden.sum)).toBeLessThan(1e-15);
  });

  it("gives PyTorch's gradient", () => {
    expect(relativeError(rmsNormGrad(input, gradient).dx, golden.dx)).toBeLessThan(1e-13);
  });

  it('gives the gradient of central differences', () => {
    const scalar = (x: Float64Array): number => {
      const { y, sum } = rmsNorm({ ...input, x });
      return weightedSum(y, gradient.dy) + (gradient.dsum === null ? 0 : weightedSum(sum, gradient.dsum));
    };
    expect(relativeError(rmsNormGrad(input, gradient).dx, centralDifference(scalar, input.x))).toBeLessThan(1e-8);
  });
});
