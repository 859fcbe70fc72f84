// The doors of the tree_attention kernels: wrong arguments come back as errors that name the operation and the value.
// Errors of the operation itself are in arguments.test.ts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Attributes } from '../../../src/engine/backend.ts';
import { startEngine } from '../../../src/engine/runtime.ts';
import { liveTensors, runMany, scope, type Tensor, tensor } from '../../../src/engine/tensor.ts';
import { fill, messageOf } from '../../support/calls.ts';

beforeAll(async () => {
  expect((await startEngine()).kernels).toEqual(
    expect.arrayContaining(['RocitTreeAttention', 'RocitTreeAttentionGrad']),
  );
});
afterAll(() => expect(liveTensors()).toBe(0));

const ints = (values: readonly number[], shape: readonly number[] = [values.length]) =>
  tensor(Int32Array.from(values), shape);

const forwardNames = ['q', 'k', 'v', 'subtree_end', 'query_start'] as const;
const gradNames = ['dout', 'q', 'k', 'v', 'out', 'lse', 'subtree_end', 'query_start'] as const;
type Name = (typeof gradNames)[number];

/** Inputs of three tokens, two heads of four that read one key head. */
const GOOD: Record<Name, () => Tensor> = {
  dout: () => fill([3, 8]),
  q: () => fill([3, 8]),
  k: () => fill([3, 4]),
  v: () => fill([3, 4]),
  out: () => fill([3, 8]),
  lse: () => fill([3, 2]),
  subtree_end: () => ints([3, 3, 3]),
  query_start: () => ints([0], []),
};
const attributes: Attributes = {
  T: { type: 'float32' },
  num_heads: 2,
  num_key_value_heads: 1,
  scale: { float: 0.5 },
};

function runForward(changes: Partial<typeof GOOD> = {}, changed: Attributes = {}): Tensor[] {
  const inputs = forwardNames.map((name) => (changes[name] ?? GOOD[name])());
  return runMany('RocitTreeAttention', { ...attributes, ...changed }, inputs, 2);
}

function runGrad(changes: Partial<typeof GOOD> = {}, changed: Attributes = {}): Tensor[] {
  const inputs = gradNames.map((name) => (changes[name] ?? GOOD[name])());
  return runMany('RocitTreeAttentionGrad', { ...attributes, ...changed }, inputs, 3);
}

const COMMON: [string, Partial<typeof GOOD>, Attributes, RegExp][] = [
  ['q of rank 1', { q: () => fill([8]) }, {}, /q of rank 2/],
  ['a width that the heads do not divide', { q: () => fill([3, 7]) }, {}, /2 heads of one size/],
  ['no width', { q: () => fill([3, 0]) }, {}, /2 heads of one size/],
  ['wide keys', { k: () => fill([3, 8]) }, {}, /k of shape \[3,4\], got \[3,8\]/],
  ['short values', { v: () => fill([2, 4]) }, {}, /v of shape \[3,4\], got \[2,4\]/],
  ['mixed dtypes', { v: () => fill([3, 4], [0], 'bfloat16') }, {}, /bfloat16/],
  ['few bounds', { subtree_end: () => ints([2, 2]) }, {}, /subtree_end of shape \[3\], got \[2\]/],
  ['bounds that do not nest', { subtree_end: () => ints([2, 3, 3]) }, {}, /nest.*got 3 at 1/],
  ['a bound before its key', { subtree_end: () => ints([3, 1, 3]) }, {}, /got 1 at 1/],
  ['a negative bound', { subtree_end: () => ints([3, 3, -7]) }, {}, /got -7 at 2/],
  ['a bound beyond the keys', { subtree_end: () => ints([4, 3, 3]) }, {}, /got 4 at 0/],
  ['a start that leaves keys behind', { query_start: () => ints([1], []) }, {}, /query_start 1 and 3 queries/],
  ['a negative start', { query_start: () => ints([-1], []) }, {}, /query_start -1/],
  ['a list of starts', { query_start: () => ints([0]) }, {}, /query_start of shape \[\], got \[1\]/],
  ['heads that do not share evenly', {}, { num_heads: 3, num_key_value_heads: 2 }, /got 3 and 2/],
  ['no heads', {}, { num_heads: 0 }, /num_heads/],
  ['an infinite scale', {}, { scale: { float: Number.POSITIVE_INFINITY } }, /finite scale, got inf/],
];

describe('the doors', () => {
  it('let right arguments through', () => {
    scope(() => {
      expect(runForward().map((t) => t.shape)).toEqual([GOOD.q().shape, [3, 2]]);
      expect(runGrad().map((t) => t.shape)).toEqual([GOOD.q().shape, GOOD.k().shape, GOOD.v().shape]);
    });
  });

  it.each(COMMON)('refuse %s', (_, changes, changed, reason) => {
    for (const [name, run] of [
      ['RocitTreeAttention', runForward],
      ['RocitTreeAttentionGrad', runGrad],
    ] as const) {
      const message = messageOf(() => run(changes, changed));
      expect(message.startsWith(`${name}(`)).toBe(true);
      expect(message).toMatch(reason);
    }
  });

  it.each<[string, Partial<typeof GOOD>, RegExp]>([
    ['dout of other rows', { dout: () => fill([2, 8]) }, /dout of shape \[3,8\], got \[2,8\]/],
    ['out of other rows', { out: () => fill([2, 8]) }, /out of shape \[3,8\], got \[2,8\]/],
    ['a short lse', { lse: () => fill([3, 1]) }, /lse of shape \[3,2\], got \[3,1\]/],
  ])('of the gradient refuse %s', (_, changes, reason) => {
    expect(messageOf(() => runGrad(changes))).toMatch(reason);
  });
});
