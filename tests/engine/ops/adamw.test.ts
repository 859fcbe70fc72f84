// adamw against its float64 twin and its kernel against the composition; clipping, decay, non-finite gradients, aliases.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AdamwArguments, adamw } from '../../../src/engine/ops/adamw.ts';
import * as p from '../../../src/engine/primitives.ts';
import { startEngine, withoutKernels } from '../../../src/engine/runtime.ts';
import { liveTensors, readFloats, scope, type Tensor, tensor } from '../../../src/engine/tensor.ts';
import * as twin from '../../reference/adamw.ts';
import { relativeError } from '../../reference/relative_error.ts';
import { uniformValues } from '../random.ts';

const FLOAT32 = 2e-6;
const LISTS = ['params', 'grads', 'm', 'v'] as const;

interface Setting {
  name: string;
  shapes: number[][];
  step?: number;
  max_grad_norm?: number;
  weight_decay?: number;
  grad_scale?: number;
  gradient?: number;
  betas?: [number, number];
  eps?: number;
}

const cases: Setting[] = [
  { name: 'one tensor of 5×123', shapes: [[5, 123]] },
  { name: 'odd shapes', shapes: [[1], [3, 7], [2, 3, 5], [17], [1, 1]] },
  { name: 'a scalar and an empty tensor', shapes: [[], [0, 4], [3]] },
  { name: 'many tensors', shapes: Array.from({ length: 120 }, (_, i) => [1 + (i % 5), 3]) },
  { name: 'a large tensor', shapes: [[300, 401], [2]] },
  { name: 'clipped', shapes: [[8, 9], [5]], max_grad_norm: 0.5 },
  { name: 'below the clipping norm', shapes: [[8, 9], [5]], max_grad_norm: 1e4 },
  { name: 'not clipped', shapes: [[8, 9], [5]], max_grad_norm: 0 },
  { name: 'scaled and clipped', shapes: [[8, 9], [5]], max_grad_norm: 0.01, grad_scale: 1 / 77 },
  { name: 'decayed', shapes: [[8, 9]], weight_decay: 0.1 },
  { name: 'first step', shapes: [[8, 9]], step: 1 },
  { name: 'late step', shapes: [[8, 9]], step: 123_456 },
  { name: 'zero gradients', shapes: [[4, 4]], gradient: 0, max_grad_norm: 1 },
  { name: 'tiny gradients', shapes: [[4, 4]], gradient: 1e-10 },
  { name: 'large gradients', shapes: [[4, 4]], gradient: 1e6, max_grad_norm: 1 },
  { name: 'other betas and eps', shapes: [[4, 4]], betas: [0.85, 0.95], eps: 1e-4 },
  { name: 'betas of zero', shapes: [[4, 4]], betas: [0, 0], eps: 1e-3 },
];

function inputOf({ name, shapes, gradient = 1, ...rest }: Setting): twin.AdamwInput & { shapes: number[][] } {
  const list = (kind: string, change: (x: number) => number) =>
    shapes.map((shape, i) => uniformValues(`${name} ${kind} ${i}`, shape).map((x) => Math.fround(change(x))));
  const isFirst = rest.step === 1;
  return {
    shapes,
    params: list('params', (x) => x),
    grads: list('grads', (x) => x * gradient),
    m: list('m', (x) => (isFirst ? 0 : 0.1 * x * gradient)),
    v: list('v', (x) => (isFirst ? 0 : 0.01 * x * x * gradient ** 2)),
    learning_rate: 0.01,
    betas: rest.betas ?? [0.9, 0.999],
    eps: rest.eps ?? 1e-8,
    weight_decay: rest.weight_decay ?? 0,
    max_grad_norm: rest.max_grad_norm ?? 1,
    step: rest.step ?? 7,
    grad_scale: rest.grad_scale ?? 1,
  };
}

function tensorsOf(input: twin.AdamwInput & { shapes: number[][] }): AdamwArguments {
  const make = (list: Float64Array[]) =>
    list.map((values, i) => tensor(Float32Array.from(values), input.shapes[i] as number[]));
  const [params, grads, m, v] = LISTS.map((key) => make(input[key])) as [Tensor[], Tensor[], Tensor[], Tensor[]];
  return { ...input, params, grads, m, v };
}

interface Result {
  params: Float32Array[];
  m: Float32Array[];
  v: Float32Array[];
  grad_norm: number;
  nonFinite: number | null;
}

/** A comparison of buffers is fast where one of typed arrays is not. */
function bytesIn(t: Tensor): Buffer {
  return Buffer.from(readFloats(t).buffer);
}

/** One step; asserts that the arguments are left as they are. */
function runStep(input: twin.AdamwInput & { shapes: number[][] }): Result {
  return scope(() => {
    const args = tensorsOf(input);
    // Other handles to the same memory: views and identities of every argument.
    const aliases = LISTS.flatMap((key) => args[key].flatMap((t) => [t, p.identity(t), p.reshape(t, [t.size])]));
    const before = aliases.map(bytesIn);
    const result = adamw(args);
    expect(aliases.every((t, i) => bytesIn(t).equals(before[i] as Buffer))).toBe(true);
    const read = (list: Tensor[]) => list.map(readFloats);
    for (const key of ['params', 'm', 'v'] as const) expect(result[key].map((t) => t.shape)).toEqual(input.shapes);
    return { ...result, params: read(result.params), m: read(result.m), v: read(result.v) };
  });
}

let kernels: string[] = [];
beforeAll(async () => {
  kernels = (await startEngine()).kernels;
  console.info(`adamw: kernel ${kernels.includes('RocitAdamw') ? 'RocitAdamw' : 'missing'}`);
});
afterAll(() => expect(liveTensors()).toBe(0));

describe.each(['kernel', 'composition'] as const)('%s', (implementation) => {
  const step = (input: twin.AdamwInput & { shapes: number[][] }) =>
    implementation === 'kernel' ? Promise.resolve(runStep(input)) : withoutKernels(() => runStep(input));

  it('is there', () => {
    if (implementation === 'kernel') expect(kernels).toContain('RocitAdamw');
  });

  it.each(cases.map((setting) => [setting.name, setting] as const))('%s', async (_, setting) => {
    const input = inputOf(setting);
    const [got, expected] = [await step(input), twin.adamw(input)];
    expect(got.nonFinite).toBe(null);
    expect(Math.abs(got.grad_norm - expected.grad_norm)).toBeLessThanOrEqual(FLOAT32 * expected.grad_norm);
    for (const key of ['params', 'm', 'v'] as const) {
      got[key].forEach((values, i) => {
        const error = relativeError(values, expected[key][i] as Float64Array);
        expect(error, `${key} ${i}`).toBeLessThan(FLOAT32);
      });
    }
    // The step itself, which is small beside the parameters: all but the rounding of parameters below 1.
    const moved = (params: ArrayLike<number>[]) =>
      params.flatMap((values, i) => Array.from(values, (x, j) => x - (input.params[i]?.[j] as number)));
    const [gotMove, expectedMove] = [moved(got.params), moved(expected.params)];
    const bound = 1e-5 * Math.max(...expectedMove.map(Math.abs)) + 2 ** -24;
    expect(Math.max(...gotMove.map((x, i) => Math.abs(x - (expectedMove[i] as number))))).toBeLessThan(bound);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'a gradient of %d changes nothing and is named',
    async (bad) => {
      const input = inputOf({ name: 'bad', shapes: [[3], [4, 2], [5]], max_grad_norm: 1 });
      (input.grads[1] as Float64Array)[6] = bad;
      (input.grads[2] as Float64Array)[0] = bad;
      const got = await step(input);
      expect(got.nonFinite).toBe(1);
      expect(twin.adamw(input).first_bad).toBe(1);
      for (const key of ['params', 'm', 'v'] as const) {
        expect(got[key]).toEqual(input[key].map((values) => Float32Array.from(values)));
      }
    },
  );

  it('ten steps follow the twin', async () => {
    let input = inputOf({ name: 'ten', shapes: [[6, 7], [9]], step: 1, max_grad_norm: 0.8, weight_decay: 0.1 });
    let exact = input;
    for (let i = 1; i <= 10; i++) {
      const grads = input.shapes.map((shape, j) => uniformValues(`ten ${i} ${j}`, shape).map((x) => x / i));
      const [got, expected] = [await step({ ...input, grads, step: i }), twin.adamw({ ...exact, grads, step: i })];
      const wide = (list: Float32Array[]) => list.map((values) => Float64Array.from(values));
      input = { ...input, params: wide(got.params), m: wide(got.m), v: wide(got.v) };
      exact = { ...exact, ...expected };
      got.params.forEach((values, j) => {
        expect(relativeError(values, expected.params[j] as Float64Array), `step ${i}`).toBeLessThan(FLOAT32);
      });
    }
  });
});

it('the kernel gives the same bits twice', () => {
  const input = inputOf({
    name: 'twice',
    shapes: [
      [30, 401],
      [7, 7],
    ],
  });
  expect(runStep(input)).toEqual(runStep(input));
});
