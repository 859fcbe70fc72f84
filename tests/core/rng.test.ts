import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRng, deriveSeed } from '../../src/core/rng.ts';

function numbers(seed: number, count: number, ...stream: (string | number)[]): number[] {
  const rng = createRng(seed, ...stream);
  return Array.from({ length: count }, () => rng.next());
}

describe('createRng', () => {
  it('gives these numbers for ever: runs are repeated by seed', () => {
    const rng = createRng(0, 'lora', 1);
    expect([rng.next(), rng.int(1000), rng.normal(), rng.shuffle([1, 2, 3, 4, 5])]).toMatchInlineSnapshot(`
      [
        0.5336222830228508,
        608,
        0.932576475594015,
        [
          1,
          3,
          4,
          5,
          2,
        ],
      ]
    `);
    expect(deriveSeed(0, 'dropout', 3)).toMatchInlineSnapshot(`3993553152`);
  });

  it('follows xoshiro128** as published', () => {
    // The reference recurrence with 64-bit integers, on the state that the seed gives.
    const mask = 0xffff_ffffn;
    const rotate = (x: bigint, k: bigint) => ((x << k) | (x >> (32n - k))) & mask;
    const random = createRng(7, 'x');
    const first = Array.from({ length: 50 }, () => BigInt(random.next() * 2 ** 32));
    let s = stateOf(7, 'x');
    for (const value of first) {
      const [s0 = 0n, s1 = 0n, s2 = 0n, s3 = 0n] = s;
      expect(value).toBe((rotate((s1 * 5n) & mask, 7n) * 9n) & mask);
      const t = (s1 << 9n) & mask;
      const n2 = s2 ^ s0;
      const n3 = s3 ^ s1;
      s = [s0 ^ n3, s1 ^ n2, n2 ^ t, rotate(n3, 11n)];
    }
  });

  it('differs by seed and by each name of the stream, and does not glue names together', () => {
    const streams = [numbers(0, 4), numbers(1, 4), numbers(0, 4, 'a'), numbers(0, 4, 'a', 'b'), numbers(0, 4, 'ab')];
    expect(new Set(streams.map((stream) => stream.join())).size).toBe(streams.length);
    expect(numbers(0, 4, 1)).not.toEqual(numbers(0, 4, '1'));
  });

  it('is uniform in [0, 1) and normal with mean 0 and variance 1', () => {
    const uniform = numbers(3, 20_000);
    expect(Math.min(...uniform)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...uniform)).toBeLessThan(1);
    expect(mean(uniform)).toBeCloseTo(0.5, 1.5);
    const rng = createRng(3, 'normal');
    const normal = Array.from({ length: 20_000 }, () => rng.normal());
    expect(Math.abs(mean(normal))).toBeLessThan(0.03);
    expect(Math.abs(mean(normal.map((x) => x * x)) - 1)).toBeLessThan(0.04);
    expect(Math.abs(mean(normal.map((x) => x ** 4)) - 3)).toBeLessThan(0.25);
  });

  it('shuffles every item to every place and leaves the input alone', () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.integer()), (seed, items) => {
        const before = [...items];
        const shuffled = createRng(seed).shuffle(items);
        expect(items).toEqual(before);
        expect([...shuffled].sort()).toEqual([...items].sort());
      }),
    );
    const places = new Set<string>();
    for (let seed = 0; seed < 400; seed++) {
      for (const [place, item] of createRng(seed).shuffle(['a', 'b', 'c', 'd']).entries())
        places.add(`${item}${place}`);
    }
    expect(places.size).toBe(16);
  });

  it('int covers [0, n) and nothing else', () => {
    const rng = createRng(5);
    const drawn = new Set(Array.from({ length: 500 }, () => rng.int(7)));
    expect([...drawn].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});

function mean(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function stateOf(seed: number, ...stream: string[]): bigint[] {
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, ...stream]))
    .digest();
  return [0, 4, 8, 12].map((at) => BigInt(digest.readUInt32LE(at)));
}
