// The twin of tree_attention against PyTorch's scaled_dot_product_attention with the mask written out, in float64.
import { describe, expect, it } from 'vitest';
import { centralDifference, weightedSum } from './central_difference.ts';
import { float64, readOpGoldens } from './op_goldens.ts';
import { relativeError } from './relative_error.ts';
import { type TreeAttentionInput, treeAttention, treeAttentionGrad } from './tree_attention.ts';

const GOLDENS = readOpGoldens().tree_attention;

describe.each(GOLDENS)('twin of tree_attention, subtree_end $subtree_end, query_start $query_start', (golden) => {
  const input = { ...golden, q: float64(golden.q), k: float64(golden.k), v: float64(golden.v) };
  const gradient = float64(golden.do);

  it("gives PyTorch's value and gradients", () => {
    expect(relativeError(treeAttention(input).o, golden.o)).toBeLessThan(1e-13);
    const { dq, dk, dv } = treeAttentionGrad(input, gradient);
    expect(relativeError(dv, golden.dv)).toBeLessThan(1e-13);
    // With one key the weights are constant, and dq and dk are zero up to rounding.
    if (golden.num_keys === 1) return;
    expect(relativeError(dq, golden.dq)).toBeLessThan(1e-12);
    expect(relativeError(dk, golden.dk)).toBeLessThan(1e-12);
  });

  it('gives the gradients of central differences', () => {
    const numeric = (key: 'q' | 'k' | 'v'): Float64Array =>
      centralDifference((x) => weightedSum(treeAttention({ ...input, [key]: x }).o, gradient), input[key]);
    const { dq, dk, dv } = treeAttentionGrad(input, gradient);
    expect(relativeError(dv, numeric('v'))).toBeLessThan(1e-8);
    if (golden.num_keys === 1) return;
    expect(relativeError(dq, numeric('q'))).toBeLessThan(1e-8);
    expect(relativeError(dk, numeric('k'))).toBeLessThan(1e-8);
  });

  it('gives the log-sum-exp whose exponential normalises the weights', () => {
    const ones = treeAttention({ ...input, v: input.v.map(() => 1) });
    expect(
      relativeError(
        ones.o,
        ones.o.map(() => 1),
      ),
    ).toBeLessThan(1e-14);
    const shifted = treeAttention({ ...input, q: input.q.map((x) => x * 0) });
    const seen = Array.from(
      { length: input.num_queries },
      (_, i) =>
        input.subtree_end.filter((end, key) => key <= i + input.query_start && i + input.query_start < end).length,
    );
    for (const [i, count] of seen.entries()) expect(shifted.lse[i * input.num_heads]).toBeCloseTo(Math.log(count), 12);
  });
});

describe('twin of tree_attention on two packed sequences', () => {
  it('gives each sequence what it gets alone', () => {
    const { q, k, v, o, ...sizes } = GOLDENS[0]!;
    const packed = [...q, ...q.toReversed()];
    const alone = (values: number[]): TreeAttentionInput => ({
      ...sizes,
      q: float64(values),
      k: float64(k),
      v: float64(v),
    });
    const both = treeAttention({
      ...sizes,
      num_queries: 2 * sizes.num_queries,
      num_keys: 2 * sizes.num_keys,
      subtree_end: [...sizes.subtree_end, ...sizes.subtree_end.map((end) => end + sizes.num_keys)],
      q: float64(packed),
      k: float64([...k, ...k]),
      v: float64([...v, ...v]),
    });
    expect(relativeError(both.o.subarray(0, o.length), o)).toBeLessThan(1e-13);
    expect(both.o.subarray(o.length)).toEqual(treeAttention(alone(q.toReversed())).o);
  });
});
