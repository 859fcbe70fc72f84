// The project's measure of agreement between two arrays of numbers.

/**
 * max |got − expected| / max |expected|. Different lengths are an error; NaN anywhere, or a difference from an expected
 * array of zeros, gives Infinity.
 */
export function relativeError(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (got.length !== expected.length) throw new Error(`lengths differ: got ${got.length}, expected ${expected.length}`);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < got.length; i++) {
    const d = Math.abs(got[i]! - expected[i]!);
    if (Number.isNaN(d)) return Infinity;
    difference = Math.max(difference, d);
    largest = Math.max(largest, Math.abs(expected[i]!));
  }
  return difference === 0 ? 0 : difference / largest;
}
