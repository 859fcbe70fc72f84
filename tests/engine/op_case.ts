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

/** Runs a case on the engine as it is set; asserts that no tensor changes that another handle can see. */
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
  const values = inputValues(op, dtype);
  const inputs = mapValues(op.inputs, ({ shape, trainable, alwaysFloat32 }, name) => {
    const t = tensor(Float32Array.from(values[name] as Float64Array), shape, alwaysFloat32 ? 'float32' : dtype);
    return trainable ? parameter(t) : t;
  });
  const inputAliases = aliasesOf(inputs);
  const trained = Object.keys(op.inputs).filter((name) => op.inputs[name]?.trainable);
  if (trained.length === 0) {
    const outputs = mapValues(op.run(inputs), readFloats);
    expectUnchanged(inputAliases);
    return { outputs, gradients: {} };
  }
  let outputs: Record<string, Float32Array> = {};
  const outputAliases: Alias[] = [];
  const { gradients } = await valueAndGradients(async () => {
    const made = op.run(inputs);
    expectUnchanged(inputAliases);
    // The scope of the step frees them; backward must leave them alone all the same.
    outputAliases.push(...aliasesOf(made));
    for (const { t } of outputAliases) retain(t);
    outputs = mapValues(made, readFloats);
    return weightedSum(op, made);
  });
  expectUnchanged(inputAliases);
  expectUnchanged(outputAliases);
  for (const { t } of outputAliases) release(t);
  const zeros = (t: Tensor) => new Float32Array(t.size);
  const gradientOf = (t: Tensor) => (gradients.has(t) ? readFloats(gradients.get(t) as Tensor) : zeros(t));
  return { outputs, gradients: Object.fromEntries(trained.map((name) => [name, gradientOf(inputs[name] as Tensor)])) };
}

/** A handle to a tensor's memory, and what it showed when it was made. */
interface Alias {
  name: string;
  t: Tensor;
  before: Buffer;
}

function bytesIn(t: Tensor): Buffer {
  return Buffer.from(readFloats(t).buffer);
}

/** The tensors, their identities and their reshaped views. */
function aliasesOf(tensors: Record<string, Tensor>): Alias[] {
  return Object.entries(tensors).flatMap(([name, t]) =>
    [t, p.identity(t), p.reshape(t, [t.size])].map((alias) => ({ name, t: alias, before: bytesIn(t) })),
  );
}

function expectUnchanged(aliases: readonly Alias[]): void {
  const changed = aliases.filter(({ t, before }) => !bytesIn(t).equals(before));
  expect(
    changed.map(({ name }) => name),
    'tensors that were changed in place',
  ).toEqual([]);
}

/** A scalar that hands each output its gradient; its value does not matter. */
function weightedSum(op: OpCase, outputs: Record<string, Tensor>): Tensor {
  const scalar = tensor(Float32Array.of(0), []);
  const taped = Object.entries(outputs).filter(([name]) => !op.withoutGradient?.includes(name));
  record({
    inputs: taped.map(([, t]) => t),
    outputs: [scalar],
    saved: [],
    backward: () =>
      taped.map(([name, { shape, size, dtype }]) =>
        p.cast(tensor(Float32Array.from(outputGradient(op, name, size, dtype as FloatType)), shape), dtype),
      ),
  });
  return scalar;
}

export function mapValues<A, B>(record: Record<string, A>, fn: (value: A, name: string) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, fn(value, name)]));
}
