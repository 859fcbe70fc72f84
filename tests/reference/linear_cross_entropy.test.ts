// The twin of linear_cross_entropy against PyTorch in float64 and against central differences.
import { describe, expect, it } from 'vitest';
import { centralDifference } from './central_difference.ts';
import { linearCrossEntropy, linearCrossEntropyGrad } from './linear_cross_entropy.ts';
import { float64, readOpGoldens } from './op_goldens.ts';
import { relativeError } from './relative_error.ts';

const GOLDENS = readOpGoldens().linear_cross_entropy;

describe.each(GOLDENS)('twin of linear_cross_entropy, loss $loss', (golden) => {
  const input = { ...golden, x: float64(golden.x), weight: float64(golden.weight) };

  it("gives PyTorch's losses, weighted and of each edge", () => {
    const { loss, edge_losses } = linearCrossEntropy(input);
    expect(relativeError([loss], [golden.loss])).toBeLessThan(1e-13);
    expect(relativeError(edge_losses, golden.edge_losses)).toBeLessThan(1e-13);
  });

  it("gives PyTorch's gradient, scaled by that of the loss", () => {
    expect(relativeError(linearCrossEntropyGrad(input), golden.dx)).toBeLessThan(1e-13);
    expect(
      relativeError(
        linearCrossEntropyGrad(input, -3),
        golden.dx.map((x) => -3 * x),
      ),
    ).toBeLessThan(1e-13);
  });
});

describe('twin of linear_cross_entropy', () => {
  const golden = GOLDENS[0]!;
  const input = { ...golden, x: float64(golden.x), weight: float64(golden.weight) };

  it('gives the gradient of central differences', () => {
    const numeric = centralDifference((x) => linearCrossEntropy({ ...input, x }).loss, input.x);
    expect(relativeError(linearCrossEntropyGrad(input), numeric)).toBeLessThan(1e-8);
  });

  it('gives rows without an edge no gradient, and no loss without edges', () => {
    const rowWithout = linearCrossEntropyGrad(input).subarray(input.hidden_size, 2 * input.hidden_size);
    expect(input.edge_rows).not.toContain(1);
    expect([...rowWithout]).toEqual([0, 0, 0, 0]);
    expect(linearCrossEntropy({ ...input, edge_rows: [], edge_targets: [], edge_weights: [] }).loss).toBe(0);
  });

  it('counts an edge of weight w like w edges of weight 1', () => {
    const twice = { ...input, edge_rows: [2, 2], edge_targets: [6, 6], edge_weights: [1, 1] };
    const merged = { ...input, edge_rows: [2], edge_targets: [6], edge_weights: [2] };
    expect(linearCrossEntropy(twice).loss).toBe(linearCrossEntropy(merged).loss);
    expect(relativeError(linearCrossEntropyGrad(twice), linearCrossEntropyGrad(merged))).toBeLessThan(1e-15);
  });
});
