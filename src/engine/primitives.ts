// The library's own operations that compositions are written with: thin, untaped, any dtype the library has.
// Names and broadcasting are TensorFlow's.
import type { DType } from './backend.ts';
import { castAttributes, run, type Tensor, tensor } from './tensor.ts';

const T = (t: Tensor) => ({ type: t.dtype });
const INDEX = { type: 'int32' } as const;

function ints(values: readonly number[]): Tensor {
  return tensor(Int32Array.from(values), [values.length]);
}

/** The scalar `value` in the dtype of `like`. */
export function scalar(value: number, like: Tensor): Tensor {
  return tensor(Float32Array.of(value), [], like.dtype);
}

const binary = (name: string) => (a: Tensor, b: Tensor | number) =>
  run(name, { T: T(a) }, [a, typeof b === 'number' ? scalar(b, a) : b]);
const compare = (name: string) => (a: Tensor, b: Tensor) => run(name, { T: T(a) }, [a, b]);
const unary = (name: string) => (a: Tensor) => run(name, { T: T(a) }, [a]);

export const add = binary('AddV2');
export const sub = binary('Sub');
export const mul = binary('Mul');
export const div = binary('RealDiv');
export const exp = unary('Exp');
export const log = unary('Log');
export const sqrt = unary('Sqrt');
export const rsqrt = unary('Rsqrt');
export const square = unary('Square');
export const sigmoid = unary('Sigmoid');
export const cos = unary('Cos');
export const sin = unary('Sin');
export const less = compare('Less');
export const lessEqual = compare('LessEqual');
export const greaterEqual = compare('GreaterEqual');

export function logicalAnd(a: Tensor, b: Tensor): Tensor {
  return run('LogicalAnd', {}, [a, b]);
}

/** `condition ? a : b`, broadcasting. */
export function select(condition: Tensor, a: Tensor, b: Tensor): Tensor {
  return run('SelectV2', { T: T(a) }, [condition, a, b]);
}

/** [M, K] x [K, L] → [M, L], either side transposed first where asked. */
export function matMul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false } = {}): Tensor {
  return run('MatMul', { T: T(a), transpose_a: transposeA, transpose_b: transposeB }, [a, b]);
}

/** [..., M, K] x [..., K, L] → [..., M, L]. */
export function batchMatMul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false } = {}): Tensor {
  return run('BatchMatMulV2', { T: T(a), adj_x: transposeA, adj_y: transposeB }, [a, b]);
}

const reduction = (name: string) => (a: Tensor, axes: readonly number[], keepDims: boolean) =>
  run(name, { T: T(a), Tidx: INDEX, keep_dims: keepDims }, [a, ints(axes)]);

export const sum = reduction('Sum');
export const max = reduction('Max');
export const mean = reduction('Mean');

export function cast(a: Tensor, dtype: DType): Tensor {
  return a.dtype === dtype ? identity(a) : run('Cast', castAttributes(a.dtype, dtype), [a]);
}

/** Another handle to the same values. */
export function identity(a: Tensor): Tensor {
  return run('Identity', { T: T(a) }, [a]);
}

/** The same values under another shape, shared with `a`. */
export function reshape(a: Tensor, shape: readonly number[]): Tensor {
  return run('Reshape', { T: T(a), Tshape: INDEX }, [a, ints(shape)]);
}

export function transpose(a: Tensor, permutation: readonly number[]): Tensor {
  return run('Transpose', { T: T(a), Tperm: INDEX }, [a, ints(permutation)]);
}

/** Rows [begin, begin + length) of the first axis. */
export function rows(a: Tensor, begin: number, length: number): Tensor {
  return slice(
    a,
    a.shape.map((_, i) => (i === 0 ? begin : 0)),
    a.shape.map((n, i) => (i === 0 ? length : n)),
  );
}

export function slice(a: Tensor, begin: readonly number[], size: readonly number[]): Tensor {
  return run('Slice', { T: T(a), Index: INDEX }, [a, ints(begin), ints(size)]);
}

export function concat(parts: readonly Tensor[], axis: number): Tensor {
  const [first] = parts;
  if (first === undefined) throw new Error('concat: expected at least one tensor');
  if (parts.length === 1) return identity(first);
  return run('ConcatV2', { N: parts.length, T: T(first), Tidx: INDEX }, [...parts, tensor(Int32Array.of(axis), [])]);
}

/** Rows `indices` (int32) of the first axis. */
export function gather(a: Tensor, indices: Tensor): Tensor {
  return run('GatherV2', { Tparams: T(a), Tindices: INDEX, Taxis: INDEX, batch_dims: 0 }, [
    a,
    indices,
    tensor(Int32Array.of(0), []),
  ]);
}

/** Elements of `a` at `indices` int32 [E, rank of the index]. */
export function gatherNd(a: Tensor, indices: Tensor): Tensor {
  return run('GatherNd', { Tparams: T(a), Tindices: INDEX }, [a, indices]);
}

/** Zeros of `shape` with `updates` added at `indices` int32 [E, rank of the index]; equal indices add up. */
export function scatterNd(indices: Tensor, updates: Tensor, shape: readonly number[]): Tensor {
  return run('ScatterNd', { Tindices: INDEX, T: T(updates) }, [indices, updates, ints(shape)]);
}

export function zerosLike(a: Tensor): Tensor {
  return run('ZerosLike', { T: T(a) }, [a]);
}

/** `value` everywhere. */
export function fill(value: number, shape: readonly number[], dtype: DType): Tensor {
  return run('Fill', { T: { type: dtype }, index_type: INDEX }, [
    ints(shape),
    tensor(Float32Array.of(value), [], dtype),
  ]);
}

/** 0, 1, …, n - 1 plus `start`, int32. */
export function range(start: number, n: number): Tensor {
  return tensor(
    Int32Array.from({ length: n }, (_, i) => start + i),
    [n],
  );
}

/** Uniform float32 in [0, 1), a pure function of `seed`. */
export function uniform(seed: number, shape: readonly number[]): Tensor {
  const key = tensor(Int32Array.of(seed | 0, 0), [2]);
  return run('StatelessRandomUniform', { dtype: { type: 'float32' }, T: INDEX, Tseed: INDEX }, [ints(shape), key]);
}
