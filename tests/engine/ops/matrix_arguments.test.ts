// Wrong arguments at the doors of the kernels that hold matrix products.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Attributes } from '../../../src/engine/backend.ts';
import { floatBits } from '../../../src/engine/host_inputs.ts';
import { startEngine } from '../../../src/engine/runtime.ts';
import { liveTensors, runMany, type Tensor, tensor } from '../../../src/engine/tensor.ts';
import { fill, messageOf } from '../../support/calls.ts';

beforeAll(async () => {
  const { kernels } = await startEngine();
  expect(kernels).toEqual(expect.arrayContaining(['RocitLinearCrossEntropy', 'RocitLoraLinear']));
});
afterAll(() => expect(liveTensors()).toBe(0));

const zeros = (shape: readonly number[]) => fill(shape);
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
    da_before: zeros([0]),
    db_before: zeros([3, 2]),
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
    const { x, weight, a, b, z, dy, settings, seeds, da_before, db_before } = { ...parts(), ...changes };
    return [x, weight, a, b, z, dy, settings, seeds, da_before, db_before];
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
      'an infinite scaling',
      'RocitLoraLinear',
      one,
      () => adapted({ settings: settings(Number.POSITIVE_INFINITY, 0) }),
      2,
      /scaling, got inf/,
    ],
    [
      'a NaN as scaling',
      'RocitLoraLinearGrad',
      oneBack,
      () => adaptedBack({ settings: settings(Number.NaN, 0) }),
      3,
      /finite/,
    ],
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
    [
      'sums of another shape',
      'RocitLoraLinearGrad',
      oneBack,
      () => adaptedBack({ db_before: zeros([2, 3]) }),
      3,
      /db_before\[0\] of shape \[3,2\], got \[2,3\]/,
    ],
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
    [
      'an infinite weight',
      'RocitLinearCrossEntropy',
      head,
      () => edged({ weights: floatBits(Float32Array.of(0, Number.NEGATIVE_INFINITY), [2]) }),
      3,
      /edge_weights, got -inf at edge 1/,
    ],
    ['a negative row', 'RocitLinearCrossEntropy', head, () => edged({ rows: tensor(ints(0, -1), [2]) }), 3, /got -1/],
  ])('refuse %s: %s', (_, name, attributes, inputs, outputs, reason) => {
    const message = messageOf(() => runMany(name, attributes, inputs(), outputs));
    expect(message.startsWith(`${name}(`)).toBe(true);
    expect(message).toMatch(reason);
  });
});
