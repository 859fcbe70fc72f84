// The doors of the tree_attention kernels: wrong arguments come back as errors that name the operation and the value,
// random ones never bring the process down. Errors of the operation itself are in arguments.test.ts.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Attributes } from '../../../src/engine/backend.ts';
import { startEngine } from '../../../src/engine/runtime.ts';
import {
  type DType,
  liveTensors,
  readFloats,
  runMany,
  scope,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor.ts';

beforeAll(async () => {
  expect((await startEngine()).kernels).toEqual(
    expect.arrayContaining(['RocitTreeAttention', 'RocitTreeAttentionGrad']),
  );
});
afterAll(() => expect(liveTensors()).toBe(0));

/** A tensor that repeats the values. */
function fill(shape: readonly number[], pattern: readonly number[] = [0], dtype: DType = 'float32'): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: size }, (_, i) => pattern[i % pattern.length] as number),
    shape,
    dtype,
  );
}

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

function messageOf(fn: () => unknown): string {
  try {
    scope(fn);
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return 'NOTHING WAS THROWN';
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

/** Runs to the end or throws an Error that names the operation; anything else would bring the test down. */
function survives(fn: () => Tensor[]): 'computed' | 'refused' {
  try {
    scope(() => fn().map(readFloats));
    return 'computed';
  } catch (error) {
    expect((error as Error).message).toMatch(/^RocitTreeAttention(Grad)?\(/);
    return 'refused';
  }
}

it('random arguments are computed or refused', () => {
  const small = fc.integer({ min: 0, max: 5 });
  // Most runs fit but for the bounds, so that many get beyond the checks.
  const rarely = fc.integer({ min: 0, max: 19 }).map((n) => Number(n === 19));
  const bounds = fc.array(
    fc.record({ length: fc.integer({ min: 1, max: 90 }), off: fc.integer({ min: -9, max: 40 }) }),
    { maxLength: 4 },
  );
  const outcomes = { computed: 0, refused: 0 };
  const property = fc.property(
    bounds,
    fc.tuple(rarely, rarely, rarely, rarely, rarely),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 3 }),
    small,
    fc.array(fc.float(), { minLength: 1, maxLength: 8 }),
    fc.constantFrom<DType>('float32', 'bfloat16'),
    (segments, [a, b, c, d, start], group, K, D, pattern, type) => {
      const ends: number[] = [];
      for (const { length, off } of segments) {
        const end = ends.length + length;
        ends.push(...Array<number>(length).fill(off > 30 ? end + off : end));
      }
      const [S, H] = [ends.length, group * K];
      const changes: Partial<typeof GOOD> = {
        dout: () => fill([S, H * D], pattern, type),
        q: () => fill([S + a, H * D], pattern, type),
        k: () => fill([S, K * D + b], pattern, type),
        v: () => fill([S + c, K * D], pattern, type),
        out: () => fill([S, H * D], pattern, type),
        lse: () => fill([S, H], pattern),
        subtree_end: () => ints([...ends, ...Array<number>(d).fill(9)]),
        query_start: () => ints([start], []),
      };
      const changed: Attributes = { T: { type }, num_heads: H, num_key_value_heads: K, scale: { float: 0.3 } };
      outcomes[survives(() => runForward(changes, changed))] += 1;
      outcomes[survives(() => runGrad(changes, changed))] += 1;
    },
  );
  fc.assert(property, { numRuns: 250, seed: 1 });
  expect(outcomes.computed).toBeGreaterThan(100);
  expect(outcomes.refused).toBeGreaterThan(100);
});
