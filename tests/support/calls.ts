// Calls of operations as data: what each argument is and which values of it are wrong; making and running them.
import type { Attributes } from '../../src/engine/backend.ts';
import { floatBits } from '../../src/engine/host_inputs.ts';
import { type DType, readFloats, scope, sizeOf, Tensor, tensor } from '../../src/engine/tensor.ts';

export type List = Int32Array | Float32Array;

export interface Argument {
  /** 'bits': floats in an int32 tensor; 'list': a typed array. */
  form: 'tensor' | 'bits' | 'list';
  dtype: DType;
  shape: readonly number[];
  /** Repeated until the shape is full. */
  values: readonly number[];
  /** Dimensions that no other argument shares. */
  free?: readonly number[];
  /** Places and values there that do not fit, and what the error says where that is not the value. */
  wrong?: readonly (readonly [index: number, value: number, told?: string])[];
  /** Dtypes that do not fit; all others when left out. */
  wrongTypes?: readonly DType[];
  /** Whether shape [0] stands for none. */
  isOptional?: boolean;
}

export interface Call {
  args: Record<string, Argument>;
  settings: Attributes;
  /** Settings of which each does not fit. */
  wrongSettings: readonly Attributes[];
  run(tensors: Record<string, Tensor>, lists: Record<string, List>, settings: Attributes): Tensor[];
}

export type Details = Pick<Argument, 'free' | 'wrong' | 'wrongTypes' | 'isOptional'>;

export function floats(
  shape: readonly number[],
  values: readonly number[],
  dtype: DType = 'float32',
  details: Details = {},
): Argument {
  return { form: 'tensor', dtype, shape, values, ...details };
}

/** Of rank 1 unless the shape says otherwise. */
export function ints(values: readonly number[], details: Details = {}, shape = [values.length]): Argument {
  return { form: 'tensor', dtype: 'int32', shape, values, ...details };
}

export function bits(values: readonly number[], details: Details = {}, shape = [values.length]): Argument {
  return { form: 'bits', dtype: 'int32', shape, values, ...details };
}

export function list(dtype: 'int32' | 'float32', values: readonly number[], details: Details = {}): Argument {
  return { form: 'list', dtype, shape: [values.length], values, ...details };
}

/** Stands for an argument that is left out. */
export function absent(dtype: DType): Argument {
  return { form: 'tensor', dtype, shape: [0], values: [], free: [0], isOptional: true };
}

/** The values at every place of a list of this length. */
export function anywhere(length: number, ...values: readonly number[]): [number, number][] {
  return Array.from({ length }, (_, i) => values.map((value): [number, number] => [i, value])).flat();
}

/** A tensor that repeats the values. */
export function fill(shape: readonly number[], pattern: readonly number[] = [0], dtype: DType = 'float32'): Tensor {
  return make({ form: 'tensor', dtype, shape, values: pattern }) as Tensor;
}

function make({ form, dtype, shape, values }: Argument): Tensor | List {
  const all = Array.from({ length: sizeOf(shape) }, (_, i) => values[i % values.length] ?? 0);
  if (form === 'list') return dtype === 'int32' ? Int32Array.from(all) : Float32Array.from(all);
  if (form === 'bits') return floatBits(Float32Array.from(all), shape);
  if (dtype === 'int32') return tensor(Int32Array.from(all), shape);
  const isByte = dtype === 'uint8' || dtype === 'bool';
  return isByte ? tensor(Uint8Array.from(all), shape, dtype) : tensor(Float32Array.from(all), shape, dtype);
}

/** Runs a call and reads what comes out; the message of its error, or null. */
export function outcomeOf({ args, settings, run }: Call): string | null {
  return errorIn(() => {
    const made = Object.entries(args).map(([name, argument]) => [name, make(argument)] as const);
    const tensors = made.filter((entry): entry is [string, Tensor] => entry[1] instanceof Tensor);
    const lists = made.filter((entry): entry is [string, List] => !(entry[1] instanceof Tensor));
    run(Object.fromEntries(tensors), Object.fromEntries(lists), settings).map(readFloats);
  });
}

function errorIn(fn: () => void): string | null {
  try {
    scope(fn);
    return null;
  } catch (error) {
    if (error instanceof Error) return error.message;
    throw error;
  }
}

/** The message of the error that `fn` throws. */
export function messageOf(fn: () => unknown): string {
  return errorIn(() => void fn()) ?? 'NOTHING WAS THROWN';
}
