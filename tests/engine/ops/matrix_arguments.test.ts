// Wrong arguments at the doors of the kernels that hold matrix products, and any arguments whatever.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Attributes } from '../../../src/engine/backend.ts';
import { linearCrossEntropy } from '../../../src/engine/ops/linear_cross_entropy.ts';
import { loraLinear } from '../../../src/engine/ops/lora_linear.ts';
import { startEngine } from '../../../src/engine/runtime.ts';
import {
  type DType,
  discard,
  floatBits,
  liveTensors,
  readFloats,
  runMany,
  scope,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor.ts';

beforeAll(async () => {
  const { kernels } = await startEngine();
  expect(kernels).toEqual(expect.arrayContaining(['RocitLinearCrossEntropy', 'RocitLoraLinear']));
});
afterAll(() => expect(liveTensors()).toBe(0));

const zeros = (shape: readonly number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const ints = (...values: number[]) => Int32Array.from(values);

describe('doors of the kernels with matrix products', () => {
  const T = { type: 'float32' } as const;
  const one = { T, P: 1 };
  const oneBack = { ...one, wants_dx: true };
  const settings = (scaling: number, dropout: number) => floatBits(Float32Array.of(scaling, dropout), [1, 2]);
  const parts = () => ({
    x: zeros([2, 4]),
    weight: zeros([3, 4]),
    bias: zeros([3]),
    a: zeros([2, 4]),
    b: zeros([3, 2]),
    z: zeros([2, 2]),
    dy: zeros([2, 3]),
    settings: settings(1, 0),
    seeds: tensor(ints(1), [1]),
  });
  const head = { T, wants_dx: true };
  const edged = (changes: Partial<Record<'weight' | 'rows' | 'targets' | 'weights', Tensor>>) => {
    const [rows, targets] = [tensor(ints(0, 1), [2]), tensor(ints(4, 0), [2])];
    const edges = { weight: zeros([5, 3]), rows, targets, weights: floatBits(Float32Array.of(0, 0), [2]), ...changes };
    return [zeros([2, 3]), edges.weight, edges.rows, edges.targets, edges.weights];
  };
  type Parts = Partial<Record<keyof ReturnType<typeof parts>, Tensor>>;
  const adapted = (changes: Parts) => {
    const { x, weight, bias, a, b, settings, seeds } = { ...parts(), ...changes };
    return [x, weight, bias, a, b, settings, seeds];
  };
  const adaptedBack = (changes: Parts) => {
    const { x, weight, a, b, z, dy, settings, seeds } = { ...parts(), ...changes };
    return [x, weight, a, b, z, dy, settings, seeds];
  };

  it.each<[string, string, Attributes, () => Tensor[], number, RegExp]>([
    ['x of rank 1', 'RocitLoraLinear', one, () => adapted({ x: zeros([4]) }), 2, /rank 2/],
    ['a weight of another width', 'RocitLoraLinear', one, () => adapted({ weight: zeros([3, 5]) }), 2, /weights\[0\]/],
    ['a bias of another size', 'RocitLoraLinear', one, () => adapted({ bias: zeros([4]) }), 2, /biases\[0\]/],
    ['an A of another width', 'RocitLoraLinear', one, () => adapted({ a: zeros([2, 3]) }), 2, /a\[0\]/],
    ['a B of another rank', 'RocitLoraLinear', one, () => adapted({ b: zeros([3, 1]) }), 2, /b\[0\]/],
    ['an A without a B', 'RocitLoraLinear', one, () => adapted({ b: zeros([0]) }), 2, /b\[0\]/],
    ['a dropout of 1', 'RocitLoraLinear', one, () => adapted({ settings: settings(1, 1) }), 2, /dropout.*got 1/],
    ['a NaN as dropout', 'RocitLoraLinear', one, () => adapted({ settings: settings(1, Number.NaN) }), 2, /dropout/],
    [
      'short settings',
      'RocitLoraLinear',
      one,
      () => adapted({ settings: floatBits(Float32Array.of(1, 0), [2]) }),
      2,
      /settings/,
    ],
    ['two seeds', 'RocitLoraLinear', one, () => adapted({ seeds: tensor(ints(1, 2), [2]) }), 2, /seeds/],
    ['z of other rows', 'RocitLoraLinearGrad', oneBack, () => adaptedBack({ z: zeros([1, 2]) }), 3, /z of shape/],
    ['dy of another width', 'RocitLoraLinearGrad', oneBack, () => adaptedBack({ dy: zeros([2, 4]) }), 3, /dy\[0\]/],
    ['a head of another width', 'RocitLinearCrossEntropy', head, () => edged({ weight: zeros([5, 4]) }), 3, /weight/],
    ['rows of rank 2', 'RocitLinearCrossEntropy', head, () => edged({ rows: tensor(ints(0), [1, 1]) }), 3, /rank 1/],
    ['one target', 'RocitLinearCrossEntropy', head, () => edged({ targets: tensor(ints(0), [1]) }), 3, /targets/],
    [
      'one weight',
      'RocitLinearCrossEntropy',
      head,
      () => edged({ weights: floatBits(Float32Array.of(0), [1]) }),
      3,
      /weights/,
    ],
    ['a row too far', 'RocitLinearCrossEntropy', head, () => edged({ rows: tensor(ints(0, 2), [2]) }), 3, /got 2 at/],
    [
      'a target too far',
      'RocitLinearCrossEntropy',
      head,
      () => edged({ targets: tensor(ints(5, 0), [2]) }),
      3,
      /got 5/,
    ],
    ['a negative row', 'RocitLinearCrossEntropy', head, () => edged({ rows: tensor(ints(0, -1), [2]) }), 3, /got -1/],
  ])('refuse %s: %s', (_, name, attributes, inputs, outputs, reason) => {
    let message = 'NOTHING WAS THROWN';
    scope(() => {
      try {
        runMany(name, attributes, inputs(), outputs);
      } catch (error) {
        message = (error as Error).message;
      }
    });
    expect(message.startsWith(`${name}(`)).toBe(true);
    expect(message).toMatch(reason);
  });
});

describe('random arguments', () => {
  const dimension = fc.integer({ min: 0, max: 5 });
  const shape = fc.array(dimension, { maxLength: 3 });
  const wild = fc.float();
  const values = fc.array(wild, { minLength: 1, maxLength: 8 });
  const dtype = fc.constantFrom<DType>('float32', 'bfloat16');
  /** A tensor that repeats the values. */
  const fill = (dims: readonly number[], pattern: readonly number[], type: DType) => {
    const size = dims.reduce((a, b) => a * b, 1);
    return tensor(
      Float32Array.from({ length: size }, (_, i) => pattern[i % pattern.length] as number),
      dims,
      type,
    );
  };
  /** Runs to the end or throws an Error that says something; anything else would bring the test down. */
  const survives = (fn: () => Tensor[]) => {
    try {
      scope(() => fn().map(readFloats));
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
      expect((error as Error).message.length).toBeGreaterThan(10);
    }
  };

  it('do not bring lora_linear down, nor its kernel', () => {
    const width = fc.integer({ min: 0, max: 40 });
    const share = fc.oneof(fc.constant(0), fc.constant(0.5), wild);
    const property = fc.property(
      fc.tuple(width, width, width, width),
      fc.option(shape),
      fc.integer({ min: 1, max: 10 }),
      values,
      share,
      dtype,
      ([N, width, out, R], odd, count, pattern, dropout, type) => {
        const lora = () => ({
          A: fill([R, width], pattern, 'float32'),
          B: fill(odd ?? [out, R], pattern, 'float32'),
          scaling: pattern[0] as number,
          dropout,
          seed: N,
        });
        const projection = () => ({ weight: fill([out, width], pattern, type), bias: fill([out], pattern, type) });
        survives(() =>
          loraLinear(
            fill([N, width], pattern, type),
            Array.from({ length: count }, (_, p) => ({ ...projection(), lora: p % 3 === 2 ? null : lora() })),
          ),
        );
        const settings = () => [floatBits(Float32Array.of(1, dropout), [1, 2]), tensor(ints(N), [1])];
        const { weight, bias } = projection();
        const { A, B } = lora();
        const x = fill([N, width], pattern, type);
        survives(() => runMany('RocitLoraLinear', { T: { type }, P: 1 }, [x, weight, bias, A, B, ...settings()], 2));
        const z = fill([N, R], pattern, 'float32');
        const dy = fill(odd ?? [N, out], pattern, type);
        survives(() => {
          const attributes = { T: { type }, P: 1, wants_dx: N % 2 === 0 };
          return runMany('RocitLoraLinearGrad', attributes, [x, weight, A, B, z, dy, ...settings()], 3);
        });
        discard([x, weight, bias, A, B, z, dy]);
      },
    );
    fc.assert(property, { numRuns: 150, seed: 1 });
  });

  it('do not bring linear_cross_entropy down, nor its kernel', () => {
    const width = fc.integer({ min: 0, max: 40 });
    const edges = fc.array(fc.integer({ min: -1, max: 40 }), { maxLength: 6 });
    const property = fc.property(
      width,
      width,
      width,
      edges,
      edges,
      values,
      dtype,
      (N, C, V, rows, targets, pattern, type) => {
        const [x, weight] = [fill([N, C], pattern, type), fill([V, C], pattern, type)];
        const lists = () => [rows, targets].map((list) => Int32Array.from(list)) as [Int32Array, Int32Array];
        const weights = () => Float32Array.from(rows, (_, e) => pattern[e % pattern.length] as number);
        survives(() => {
          const [edge_rows, edge_targets] = lists();
          return Object.values(linearCrossEntropy({ x, weight, edge_rows, edge_targets, edge_weights: weights() }));
        });
        survives(() => {
          const [edge_rows, edge_targets] = lists().map((list) => tensor(list, [list.length])) as [Tensor, Tensor];
          const attributes = { T: { type }, wants_dx: N % 2 === 0 };
          const inputs = [x, weight, edge_rows, edge_targets, tensor(weights(), [rows.length])];
          return runMany('RocitLinearCrossEntropy', attributes, inputs, 3);
        });
        discard([x, weight]);
      },
    );
    fc.assert(property, { numRuns: 200, seed: 1 });
  });
});
