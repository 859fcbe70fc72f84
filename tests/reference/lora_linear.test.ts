// The twin of lora_linear against PyTorch in float64 and against central differences.
import { describe, expect, it } from 'vitest';
import { centralDifference, weightedSum } from './central_difference.ts';
import { loraLinear, loraLinearGrad } from './lora_linear.ts';
import { float64, readOpGoldens } from './op_goldens.ts';
import { relativeError } from './relative_error.ts';

describe.each(readOpGoldens().lora_linear)('twin of lora_linear, $num_rows rows of $in_features', (golden) => {
  const projections = golden.projections.map(({ lora, ...rest }) => ({
    out_features: rest.out_features,
    weight: float64(rest.weight),
    bias: float64(rest.bias),
    lora: lora === null ? null : { ...lora, A: float64(lora.A), B: float64(lora.B), mask: float64(lora.mask) },
  }));
  const input = { ...golden, x: float64(golden.x), projections };
  const dy = golden.dy.map((values) => float64(values));
  const scalar = (changed: typeof input): number =>
    loraLinear(changed).reduce((total, y, p) => total + weightedSum(y, dy[p]!), 0);

  it("gives PyTorch's values, one a projection", () => {
    const y = loraLinear(input);
    expect(y).toHaveLength(golden.y.length);
    for (const [p, values] of y.entries()) expect(relativeError(values, golden.y[p]!)).toBeLessThan(1e-13);
  });

  it("gives PyTorch's dx, dA and dB, and none for a projection without an adapter", () => {
    const { dx, lora } = loraLinearGrad(input, dy);
    expect(relativeError(dx, golden.dx)).toBeLessThan(1e-13);
    for (const [p, expected] of golden.lora_grads.entries()) {
      const got = lora[p]!;
      expect(got === null).toBe(expected === null);
      if (got === null || expected === null) continue;
      expect(relativeError(got.dA, expected.dA)).toBeLessThan(1e-13);
      expect(relativeError(got.dB, expected.dB)).toBeLessThan(1e-13);
    }
  });

  it('gives the gradients of central differences', () => {
    const { dx, lora } = loraLinearGrad(input, dy);
    expect(
      relativeError(
        dx,
        centralDifference((x) => scalar({ ...input, x }), input.x),
      ),
    ).toBeLessThan(1e-8);
    for (const [p, projection] of projections.entries()) {
      if (projection.lora === null) continue;
      const withLora = (change: { A: Float64Array } | { B: Float64Array }): number =>
        scalar({
          ...input,
          projections: projections.with(p, { ...projection, lora: { ...projection.lora!, ...change } }),
        });
      const dA = centralDifference((A) => withLora({ A }), projection.lora.A);
      const dB = centralDifference((B) => withLora({ B }), projection.lora.B);
      expect(relativeError(lora[p]!.dA, dA)).toBeLessThan(1e-8);
      expect(relativeError(lora[p]!.dB, dB)).toBeLessThan(1e-8);
    }
  });
});
