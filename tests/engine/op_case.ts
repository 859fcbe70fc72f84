// One case of an operation, and running it: forward and backward on the engine, from the same inputs as the float64 twin.
import { expect, vi } from 'vitest';
import { parameter, record, valueAndGradients } from '../../src/engine/autograd.ts';
import * as p from '../../src/engine/primitives.ts';
import { backend } from '../../src/engine/runtime.ts';
import { readFloats, release, retain, scopeAsync, type Tensor, tensor } from '../../src/engine/tensor.ts';
import { roundToBfloat16 } from '../reference/bfloat16.ts';
import { uniformValues } from './random.ts';

export type FloatType = 'float32' | 'bfloat16';
export type Values = Record<string, Float64Array>;

export interface FloatInput {
  shape: readonly number[];
  /** Whether its gradient is checked. */
  trainable: boolean;
  /** Left out: uniform in (-scale, scale), by name and shape. */
  values?: Float64Array;
  scale?: number;
  /** Float32 in every run, as adapters are. */
  alwaysFloat32?: boolean;
}

export interface OpCase {
  name: string;
  inputs: Record<string, FloatInput>;
  run(inputs: Record<string, Tensor>): Record<string, Tensor>;
  /** Typed arrays that `run` hands over. */
  arrays?: Record<string, Float32Array | Int32Array>;
  /** The outputs of `run`, by name, from the same values in float64. */
  twin(values: Values): Values;
  /** Gradients of the trainable inputs for gradients of the outputs. */
  twinGradients(values: Values, gradients: Values): Values;
  /** Outputs that hand no gradient back. */
  withoutGradient?: readonly string[];
  /** Outputs that are float32 in every run. */
  float32Outputs?: readonly string[];
  /** Operations of our own that the case runs, where that is not all of them. */
  kernelsRun?: readonly string[];
  /** Bound of the relative error in float32 where the usual one is too tight; say why at the case. */
  tolerance?: number;
}

export interface Results {
  outputs: Record<string, Float32Array>;
  gradients: Record<string, Float32Array>;
  /** Operations of our own that were executed. */
  kernels: string[];
}

/** The inputs of a case, rounded to what the dtype can hold. */
export function inputValues(op: OpCase, dtype: FloatType): Values {
  return mapValues(op.inputs, ({ shape, values, scale = 1, alwaysFloat32 }, name) => {
    const wide = (values ?? uniformValues(`${op.name} ${name}`, shape).map((x) => x * scale)).map(Math.fround);
    return dtype === 'bfloat16' && !alwaysFloat32 ? wide.map(roundToBfloat16) : wide;
  });
}

/** The gradient that reaches an output: fixed by its name and size, zeros where none is handed back. */
export function outputGradient(op: OpCase, name: string, size: number, dtype: FloatType): Float64Array {
  const values = uniformValues(`${op.name} gradient ${name}`, [size]);
  if (op.withoutGradient?.includes(name)) return values.fill(0);
  return dtype === 'bfloat16' ? values.map(roundToBfloat16) : values;
}

/** Runs a case on the engine as it is set; asserts that nothing changes that another handle can see. */
export async function runCase(op: OpCase, dtype: FloatType): Promise<Results> {
  const execute = vi.spyOn(backend(), 'execute');
  try {
    const results = await scopeAsync(() => runInScope(op, dtype));
    const executed = execute.mock.calls.map(([name]) => name);
    return { ...results, kernels: [...new Set(executed)].filter((name) => name.startsWith('Rocit')).sort() };
  } finally {
    execute.mockRestore();
  }
}

async function runInScope(op: OpCase, dtype: FloatType): Promise<Omit<Results, 'kernels'>> {
  const arrays = mapValues(inputValues(op, dtype), (values) => Float32Array.from(values));
  const inputs = mapValues(op.inputs, ({ shape, trainable, alwaysFloat32 }, name) => {
    const t = tensor(arrays[name] as Float32Array, shape, alwaysFloat32 ? 'float32' : dtype);
    return trainable ? parameter(t) : t;
  });
  const watched = [...watchArrays({ ...arrays, ...op.arrays }), ...watchTensors(inputs)];
  const trained = Object.keys(op.inputs).filter((name) => op.inputs[name]?.trainable);
  if (trained.length === 0) {
    const outputs = mapValues(op.run(inputs), readFloats);
    expectUnchanged(watched);
    return { outputs, gradients: {} };
  }
  let outputs: Record<string, Float32Array> = {};
  const kept: Tensor[] = [];
  // The scopes of the step free outputs and gradients; backward must leave them alone all the same.
  const keepWatching = (tensors: Record<string, Tensor>) => {
    const seen = watchTensors(tensors);
    for (const { t } of seen) kept.push(retain(t));
    watched.push(...seen);
  };
  const { gradients } = await valueAndGradients(async () => {
    const made = op.run(inputs);
    expectUnchanged(watched);
    keepWatching(made);
    outputs = mapValues(made, readFloats);
    return weightedSum(op, made, keepWatching);
  });
  expectUnchanged(watched);
  kept.forEach(release);
  const zeros = (t: Tensor) => new Float32Array(t.size);
  const gradientOf = (t: Tensor) => (gradients.has(t) ? readFloats(gradients.get(t) as Tensor) : zeros(t));
  return { outputs, gradients: Object.fromEntries(trained.map((name) => [name, gradientOf(inputs[name] as Tensor)])) };
}

/** Memory that no operation may change, and what it held at first. */
interface Watched {
  name: string;
  bytes(): Buffer;
  before: Buffer;
}

function watchArrays(arrays: Record<string, Float32Array | Int32Array>): Watched[] {
  return Object.entries(arrays).map(([name, array]) => {
    const bytes = () => Buffer.from(array.slice().buffer);
    return { name: `array of ${name}`, bytes, before: bytes() };
  });
}

/** The tensors, their identities and their reshaped views. */
function watchTensors(tensors: Record<string, Tensor>): (Watched & { t: Tensor })[] {
  return Object.entries(tensors).flatMap(([name, original]) =>
    [original, p.identity(original), p.reshape(original, [original.size])].map((t) => {
      const bytes = () => Buffer.from(readFloats(t).buffer);
      return { name, t, bytes, before: bytes() };
    }),
  );
}

function expectUnchanged(watched: readonly Watched[]): void {
  const changed = watched.filter(({ bytes, before }) => !bytes().equals(before));
  expect(
    changed.map(({ name }) => name),
    'what was changed in place',
  ).toEqual([]);
}

/** A scalar that hands each output its gradient, shown to `watch` before; its value does not matter. */
function weightedSum(
  op: OpCase,
  outputs: Record<string, Tensor>,
  watch: (gradients: Record<string, Tensor>) => void,
): Tensor {
  const scalar = tensor(Float32Array.of(0), []);
  const taped = Object.entries(outputs).filter(([name]) => !op.withoutGradient?.includes(name));
  record({
    inputs: taped.map(([, t]) => t),
    outputs: [scalar],
    saved: [],
    backward: () =>
      taped.map(([name, { shape, size, dtype }]) => {
        const values = Float32Array.from(outputGradient(op, name, size, dtype as FloatType));
        const gradient = p.cast(tensor(values, shape), dtype);
        watch({ [`gradient of ${name}`]: gradient });
        return gradient;
      }),
  });
  return scalar;
}

export function mapValues<A, B>(record: Record<string, A>, fn: (value: A, name: string) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, fn(value, name)]));
}
