// The twin of swiglu against PyTorch in float64 and against central differences.
import { describe, expect, it } from 'vitest';
import { centralDifference, weightedSum } from './central_difference.ts';
import { float64, readOpGoldens } from './op_goldens.ts';
import { relativeError } from './relative_error.ts';
import { swiglu, swigluGrad } from './swiglu.ts';

describe.each(readOpGoldens().swiglu)('twin of swiglu, first gate $gate.0', (golden) => {
  const input = { gate: float64(golden.gate), up: float64(golden.up) };
  const dy = float64(golden.dy);

  it("gives PyTorch's value and gradients", () => {
    expect(relativeError(swiglu(input), golden.y)).toBeLessThan(1e-14);
    const { dgate, dup } = swigluGrad(input, dy);
    expect(relativeError(dgate, golden.dgate)).toBeLessThan(1e-14);
    expect(relativeError(dup, golden.dup)).toBeLessThan(1e-14);
  });

  it('gives the gradients of central differences', () => {
    const { dgate, dup } = swigluGrad(input, dy);
    const numericGate = centralDifference((gate) => weightedSum(swiglu({ ...input, gate }), dy), input.gate);
    const numericUp = centralDifference((up) => weightedSum(swiglu({ ...input, up }), dy), input.up);
    expect(relativeError(dgate, numericGate)).toBeLessThan(1e-8);
    expect(relativeError(dup, numericUp)).toBeLessThan(1e-8);
  });
});
