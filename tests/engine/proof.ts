// The proof of an operation, from one list of cases: composition and kernel against the float64 twin, forward and
// backward, in float32 and bfloat16; the twin's gradient against central differences of its value.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { backend, startEngine, withoutKernels } from '../../src/engine/runtime.ts';
import { liveTensors } from '../../src/engine/tensor.ts';
import { centralDifference, weightedSum } from '../reference/central_difference.ts';
import { relativeError } from '../reference/relative_error.ts';
import {
  type FloatType,
  inputValues,
  mapValues,
  type OpCase,
  outputGradient,
  type Results,
  runCase,
  type Values,
} from './op_case.ts';

/** Relative error of float32 results; what is needed beyond it stands at the case. */
const FLOAT32 = 1e-5;
/**
 * Relative error of bfloat16 compositions. bfloat16 keeps 8 bits, so one rounding is 2^-9 of the value; a composition
 * rounds several times in a row and sums of rounded terms may cancel. The kernels' bound is relative to this error.
 */
const BFLOAT16_COMPOSITION = 3e-2;
/** One rounding of the result, which no kernel can avoid, however small the composition's error turned out. */
const BFLOAT16_ROUNDING = 2 ** -9;
/** Checking every element by two evaluations of the twin is for small inputs. */
const LARGEST_DIFFERENCED = 400;

export interface ProofOptions {
  /** Operations of our own that run the forward and backward; none: compositions alone. */
  kernels: readonly string[];
}

/** Registers the tests of an operation on TensorFlow. */
export function proveOp(name: string, cases: readonly OpCase[], { kernels }: ProofOptions): void {
  const worst = new Map<string, number>();
  const note = (key: string, errors: Record<string, number>) =>
    worst.set(key, Math.max(worst.get(key) ?? 0, ...Object.values(errors)));
  beforeAll(async () => {
    const { backend, kernels: registered } = await startEngine();
    expect(backend, `${name} is proven on TensorFlow`).toBe('tensorflow');
    expect(registered).toEqual(expect.arrayContaining([...kernels]));
  });
  afterAll(() => {
    const figures = [...worst].map(([key, error]) => `${key} ${error.toExponential(1)}`);
    console.info(`${name}: ${cases.length} cases, ${kernels.join(', ') || 'no kernel'}; worst: ${figures.join(', ')}`);
    expect(liveTensors()).toBe(0);
  });
  describe.each(cases.map((op) => [op.name, op] as const))(`${name} %s`, (_, op) => {
    it("the twin's gradient is that of its value", () => checkTwin(op));
    it('composition equals the twin in float32', async () => {
      await withoutKernels(async () => {
        const results = await runCase(op, 'float32');
        expect(results.kernels).toEqual([]);
        note(
          'composition float32',
          expectWithin(op, results, 'float32', () => op.tolerance ?? FLOAT32),
        );
      });
    });
    it('composition is near the twin in bfloat16', async () => {
      await withoutKernels(async () => {
        const results = await runCase(op, 'bfloat16');
        expect(results.kernels).toEqual([]);
        note(
          'composition bfloat16',
          expectWithin(op, results, 'bfloat16', () => BFLOAT16_COMPOSITION),
        );
      });
    });
    if (kernels.length === 0) return;
    it('kernel equals the twin in float32', async () => {
      const results = await runCase(op, 'float32');
      expectRan(kernels, op, results);
      note(
        'kernel float32',
        expectWithin(op, results, 'float32', () => op.tolerance ?? FLOAT32),
      );
    });
    it("kernel's error in bfloat16 is at most twice the composition's", async () => {
      // Twins ask the operation for its dropout mask, so the comparison too runs without kernels.
      const composition = await withoutKernels(async () => errorsOf(op, await runCase(op, 'bfloat16'), 'bfloat16'));
      const results = await runCase(op, 'bfloat16');
      expectRan(kernels, op, results);
      const bound = (key: string) => Math.max(2 * (composition[key] as number), BFLOAT16_ROUNDING);
      note('kernel bfloat16', expectWithin(op, results, 'bfloat16', bound));
    });
  });
}

/** Registers the tests of an operation's composition on tfjs's CPU backend, which must be the one in use. */
export function proveOnTfjs(name: string, cases: readonly OpCase[]): void {
  it.each(cases.map((op) => [op.name, op] as const))(`${name} %s`, async (_, op) => {
    expect(backend().name).toBe('tfjs');
    const results = await runCase(op, 'float32');
    expect(results.kernels).toEqual([]);
    expectWithin(op, results, 'float32', () => op.tolerance ?? FLOAT32);
    expect(liveTensors()).toBe(0);
  });
}

function expectRan(kernels: readonly string[], op: OpCase, results: Results): void {
  const hasGradient = Object.values(op.inputs).some(({ trainable }) => trainable);
  const expected = op.kernelsRun ?? kernels.filter((kernel) => hasGradient || !kernel.endsWith('Grad'));
  expect(results.kernels).toEqual([...expected].sort());
}

/** Relative error of every output and gradient. */
function errorsOf(op: OpCase, results: Results, dtype: FloatType): Record<string, number> {
  const values = inputValues(op, dtype);
  const outputs = op.twin(values);
  expect(Object.keys(results.outputs).sort()).toEqual(Object.keys(outputs).sort());
  const incoming = gradientsOf(op, outputs, dtype);
  const gradients = op.twinGradients(values, incoming);
  expect(Object.keys(results.gradients).sort()).toEqual(Object.keys(gradients).sort());
  const errors = Object.entries(outputs).map(([name, y]) => [name, relativeError(results.outputs[name] ?? [], y)]);
  const largest = Math.max(0, ...Object.values(gradients).map(magnitude));
  for (const [name, expected] of Object.entries(gradients)) {
    errors.push([`d ${name}`, gradientError(results.gradients[name] ?? new Float32Array(0), expected, largest)]);
  }
  return Object.fromEntries(errors);
}

/** A gradient that is zero by the formula is measured by the largest gradient of the case. */
function gradientError(got: Float32Array, expected: Float64Array, largest: number): number {
  if (expected.length === 0 || magnitude(expected) > 1e-9 * largest) return relativeError(got, expected);
  return magnitude(got) === 0 ? 0 : magnitude(got) / largest;
}

function magnitude(values: ArrayLike<number>): number {
  return Array.from(values).reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
}

function gradientsOf(op: OpCase, outputs: Values, dtype: FloatType): Values {
  return mapValues(outputs, (y, name) =>
    outputGradient(op, name, y.length, op.float32Outputs?.includes(name) ? 'float32' : dtype),
  );
}

function expectWithin(
  op: OpCase,
  results: Results,
  dtype: FloatType,
  bound: (key: string) => number,
): Record<string, number> {
  const errors = errorsOf(op, results, dtype);
  for (const [key, error] of Object.entries(errors)) {
    expect(error, `relative error of ${key}`).toBeLessThanOrEqual(bound(key));
  }
  return errors;
}

function checkTwin(op: OpCase): void {
  const values = inputValues(op, 'float32');
  const incoming = gradientsOf(op, op.twin(values), 'float32');
  const gradients = op.twinGradients(values, incoming);
  for (const [name, gradient] of Object.entries(gradients)) {
    const x = values[name] as Float64Array;
    if (x.length > LARGEST_DIFFERENCED) continue;
    const value = (point: Float64Array) => {
      const outputs = op.twin({ ...values, [name]: point });
      return Object.keys(outputs).reduce(
        (total, key) => total + weightedSum(outputs[key] as Float64Array, incoming[key] as Float64Array),
        0,
      );
    };
    const numeric = centralDifference(value, x);
    const largest = Math.max(magnitude(gradient), 1e-3);
    expect(Math.max(0, ...numeric.map((g, i) => Math.abs(g - (gradient[i] as number)))) / largest, name).toBeLessThan(
      1e-6,
    );
  }
}
