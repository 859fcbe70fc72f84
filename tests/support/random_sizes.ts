// Sizes, values and trees for random calls.
import fc from 'fast-check';

/** Zero and one often, odd ones, and some around the widths of vectors and tiles. */
export const size = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 5 }) },
  { weight: 1, arbitrary: fc.constantFrom(7, 16, 17, 33, 65) },
);
export const positive = size.map((n) => Math.max(1, n));
/** Any float32: huge, subnormal, infinite and NaN too. */
export const anyFloats = fc.array(fc.float(), { minLength: 1, maxLength: 8 });
export const finiteFloats = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), {
  minLength: 1,
  maxLength: 8,
});
export const floatType = fc.constantFrom('float32' as const, 'bfloat16' as const);
export const anyInts = fc.array(fc.integer(), { minLength: 1, maxLength: 8 });

export const NOT_FINITE = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
export const MOST_INT32 = 2 ** 31 - 1;
/** Dtypes that do not fit a float tensor which decides by itself of which of the two dtypes the call is. */
export const NO_FLOATS = ['int32', 'uint8', 'bool'] as const;

/** As many of the values as asked for, from the beginning again where they end. */
export function repeat(values: readonly number[], count: number): number[] {
  return Array.from({ length: count }, (_, i) => values[i % values.length] as number);
}

/** The values as indices below a limit; none where there is none. */
export function indices(values: readonly number[], count: number, limit: number): number[] {
  return repeat(values, limit === 0 ? 0 : count).map((value) => Math.abs(value) % limit);
}

/** Tokens of a random forest: how many of the open subtrees each of them closes first. */
export const forest = fc.array(fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.nat({ max: 9 })), {
  maxLength: 150,
  size: 'large',
});

export function subtreeEnds(closes: readonly number[]): number[] {
  const ends = closes.map(() => closes.length);
  const open: number[] = [];
  closes.forEach((count, i) => {
    for (const closed of open.splice(Math.max(0, open.length - count))) ends[closed] = i;
    open.push(i);
  });
  return ends;
}

/** Bounds that do not nest: none beyond its key, beyond all keys, beyond the end around it. */
export function wrongEnds(ends: readonly number[]): [number, number][] {
  const crossing = ends.flatMap((end, outer) =>
    outer + 1 < end && end < ends.length ? [[outer + 1, ends.length] as [number, number]] : [],
  );
  return [
    ...ends.flatMap((_, i): [number, number][] => [
      [i, i],
      [i, ends.length + 1],
      [i, -7],
    ]),
    ...crossing,
  ];
}
