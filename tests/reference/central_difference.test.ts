// Central differences and the relative error against functions whose answers are known.
import { describe, expect, it } from 'vitest';
import { centralDifference, weightedSum } from './central_difference.ts';
import { relativeError } from './relative_error.ts';

describe('centralDifference', () => {
  it('gives the gradient of sin(x) · y and leaves its argument as it is', () => {
    const x = Float64Array.of(0.3, -2, 1.5);
    const gradient = centralDifference(([a, b, c]) => Math.sin(a!) * b! + c! ** 2, x);
    expect(relativeError(gradient, [-2 * Math.cos(0.3), Math.sin(0.3), 3])).toBeLessThan(1e-9);
    expect([...x]).toEqual([0.3, -2, 1.5]);
  });

  it('weightedSum is the sum of the products', () => {
    expect(weightedSum([1, 2, 3], [4, 5, 6])).toBe(32);
  });
});

describe('relativeError', () => {
  it('is the largest difference over the largest expected value', () => {
    expect(relativeError([1, 2, -3.5], [1, 2, -4])).toBe(0.125);
    expect(relativeError([0, 0], [0, 0])).toBe(0);
  });

  it('never passes NaN, other lengths, or a wrong zero', () => {
    expect(relativeError([Number.NaN], [1])).toBe(Infinity);
    expect(relativeError([1], [Number.NaN])).toBe(Infinity);
    expect(relativeError([1e-9], [0])).toBe(Infinity);
    expect(() => relativeError([1], [1, 2])).toThrowErrorMatchingInlineSnapshot(
      `[Error: lengths differ: got 1, expected 2]`,
    );
  });
});
