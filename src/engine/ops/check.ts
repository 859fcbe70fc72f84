// Argument checks of the operations: an error names the operation, the argument, what it expected and what it got.
import { type DType, describe, type Tensor } from '../tensor.ts';

/** A dimension is a number, or a letter that must mean the same number in all arguments of the call. */
type Dimension = number | string;

/** Checks arguments against shapes such as `{ x: [x, 'N', 'C'] }` and returns what the letters stand for. */
export function checkShapes(op: string, spec: Record<string, [Tensor, ...Dimension[]]>): Record<string, number> {
  const letters: Record<string, number> = {};
  for (const name in spec) {
    const [t, ...dimensions] = spec[name] as [Tensor, ...Dimension[]];
    if (!matches(t.shape, dimensions, letters)) {
      const expected = dimensions.map((d) =>
        typeof d === 'number' ? d : `${d}${letters[d] === undefined ? '' : `=${letters[d]}`}`,
      );
      throw new Error(`${op}: expected ${name} of shape [${expected.join(', ')}], got ${describe(t)}`);
    }
  }
  return letters;
}

function matches(shape: readonly number[], dimensions: readonly Dimension[], letters: Record<string, number>): boolean {
  if (shape.length !== dimensions.length) return false;
  return dimensions.every((dimension, i) => {
    const size = shape[i] as number;
    if (typeof dimension === 'number') return size === dimension;
    letters[dimension] ??= size;
    return letters[dimension] === size;
  });
}

/** Checks that all arguments have the same dtype, one of float32 and bfloat16. */
export function checkFloat(op: string, tensors: Record<string, Tensor | null>): DType {
  let dtype: DType | null = null;
  for (const name in tensors) {
    const t = tensors[name];
    if (!t) continue;
    dtype ??= t.dtype;
    if (t.dtype === dtype && (dtype === 'float32' || dtype === 'bfloat16')) continue;
    const given = Object.keys(tensors).filter((other) => tensors[other]);
    throw new Error(`${op}: expected float32 or bfloat16 in all of ${given.join(', ')}, got ${name} ${describe(t)}`);
  }
  return dtype as DType;
}

/** Checks numbers that a kernel takes as float32. */
export function checkFinite(op: string, numbers: Record<string, number>): void {
  for (const [name, value] of Object.entries(numbers)) {
    check(op, Number.isFinite(Math.fround(value)), () => `expected a finite ${name}, got ${value}`);
  }
}

/** Throws unless `condition` holds. */
export function check(op: string, condition: boolean, message: () => string): void {
  if (!condition) throw new Error(`${op}: ${message()}`);
}
