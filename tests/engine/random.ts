// Seeded test values: a pure function of the name and the shape.
import { createRng } from '../../src/core/rng.ts';

/** Uniform in (-1, 1), each a float32. */
export function uniformValues(name: string, shape: readonly number[]): Float64Array {
  const rng = createRng(0, 'test values', name, ...shape);
  return Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.fround(2 * rng.next() - 1));
}
