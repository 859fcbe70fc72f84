// Wrong arguments: the operations' errors name the operation, the argument and the value; the doors of the kernels
// refuse wrong shapes by themselves; no values whatever bring the process down.
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Attributes } from '../../../src/engine/backend.ts';
import { adamw } from '../../../src/engine/ops/adamw.ts';
import { embedding } from '../../../src/engine/ops/embedding.ts';
import { linearCrossEntropy } from '../../../src/engine/ops/linear_cross_entropy.ts';
import { loraLinear } from '../../../src/engine/ops/lora_linear.ts';
import { readTensor } from '../../../src/engine/ops/read_tensor.ts';
import { rmsNorm } from '../../../src/engine/ops/rms_norm.ts';
import { rope } from '../../../src/engine/ops/rope.ts';
import { swiglu } from '../../../src/engine/ops/swiglu.ts';
import { treeAttention } from '../../../src/engine/ops/tree_attention.ts';
import { startEngine, withoutKernels } from '../../../src/engine/runtime.ts';
import {
  type DType,
  floatBits,
  liveTensors,
  readFloats,
  runMany,
  scope,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor.ts';

beforeAll(async () => {
  const { backend, kernels } = await startEngine();
  expect(backend).toBe('tensorflow');
  expect(kernels).toEqual([
    'RocitAdamw',
    'RocitEmbedding',
    'RocitLinearCrossEntropy',
    'RocitLoraLinear',
    'RocitLoraLinearGrad',
    'RocitReadTensor',
    'RocitRmsNorm',
    'RocitRmsNormGrad',
    'RocitRope',
    'RocitSwiglu',
    'RocitSwigluGrad',
    'RocitTreeAttention',
    'RocitTreeAttentionGrad',
  ]);
});
afterAll(() => expect(liveTensors()).toBe(0));

const zeros = (shape: readonly number[], dtype?: DType) =>
  tensor(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, dtype);
const ints = (...values: number[]) => Int32Array.from(values);

const lora = (changes: object = {}) => ({
  A: zeros([2, 4]),
  B: zeros([3, 2]),
  scaling: 1,
  dropout: 0,
  seed: 0,
  ...changes,
});
const attention = (changes: object = {}) => ({
  q: zeros([3, 8]),
  k: zeros([3, 4]),
  v: zeros([3, 4]),
  num_heads: 2,
  num_key_value_heads: 1,
  subtree_end: ints(3, 3, 3),
  query_start: 0,
  scale: 0.5,
  ...changes,
});
const entropy = (changes: object = {}) => ({
  x: zeros([2, 3]),
  weight: zeros([5, 3]),
  edge_rows: ints(0, 1),
  edge_targets: ints(4, 0),
  edge_weights: Float32Array.of(1, 1),
  ...changes,
});
const step = (changes: object = {}) => ({
  params: [zeros([2]), zeros([3])],
  grads: [zeros([2]), zeros([3])],
  m: [zeros([2]), zeros([3])],
  v: [zeros([2]), zeros([3])],
  learning_rate: 0.1,
  betas: [0.9, 0.999] as const,
  eps: 1e-8,
  weight_decay: 0,
  max_grad_norm: 1,
  step: 1,
  grad_scale: 1,
  ...changes,
});
const rotation = (changes: object = {}) => ({
  x: zeros([2, 8]),
  head_dim: 4,
  position_ids: ints(0, 1),
  inv_freq: Float32Array.of(1, 0.1),
  interleaved: false,
  ...changes,
});
const norm = (changes: object = {}) => ({
  x: zeros([2, 4]),
  residual: null,
  weight: zeros([4]),
  eps: 1e-5,
  ...changes,
});
const linear = (changes: object = {}) => ({ weight: zeros([3, 4]), bias: null, lora: null, ...changes });

const MISTAKES: Record<string, () => unknown> = {
  'rms_norm: rank': () => rmsNorm(norm({ x: zeros([2, 4, 1]) })),
  'rms_norm: weight': () => rmsNorm(norm({ weight: zeros([5]) })),
  'rms_norm: residual': () => rmsNorm(norm({ residual: zeros([3, 4]) })),
  'rms_norm: dtypes': () => rmsNorm(norm({ weight: zeros([4], 'bfloat16') })),
  'rms_norm: ints': () => rmsNorm(norm({ x: zeros([2, 4], 'int32') })),
  'lora_linear: width': () => loraLinear(zeros([2, 5]), [linear()]),
  'lora_linear: bias': () => loraLinear(zeros([2, 4]), [linear({ bias: zeros([4]) })]),
  'lora_linear: rank of A': () => loraLinear(zeros([2, 4]), [linear({ lora: lora({ A: zeros([3, 4]) }) })]),
  'lora_linear: second projection': () => loraLinear(zeros([2, 4]), [linear(), linear({ weight: zeros([3, 3]) })]),
  'lora_linear: dtype of the adapter': () =>
    loraLinear(zeros([2, 4]), [linear({ lora: lora({ A: zeros([2, 4], 'bfloat16'), B: zeros([3, 2], 'bfloat16') }) })]),
  'lora_linear: dropout': () => loraLinear(zeros([2, 4]), [linear({ lora: lora({ dropout: 1 }) })]),
  'rope: rows': () => rope(rotation({ position_ids: ints(0, 1, 2) })),
  'rope: head_dim': () => rope(rotation({ head_dim: 3 })),
  'rope: rotary channels': () => rope(rotation({ inv_freq: new Float32Array(3) })),
  'tree_attention: end before its token': () => treeAttention(attention({ subtree_end: ints(3, 1, 3) })),
  'tree_attention: end beyond the keys': () => treeAttention(attention({ subtree_end: ints(4, 3, 3) })),
  'tree_attention: ends that do not nest': () => treeAttention(attention({ subtree_end: ints(2, 3, 3) })),
  'tree_attention: number of ends': () => treeAttention(attention({ subtree_end: ints(3, 3) })),
  'tree_attention: heads': () => treeAttention(attention({ num_heads: 3 })),
  'tree_attention: key heads': () => treeAttention(attention({ num_key_value_heads: 2 })),
  'tree_attention: values': () => treeAttention(attention({ v: zeros([3, 8]) })),
  'tree_attention: query_start': () => treeAttention(attention({ query_start: 1 })),
  'swiglu: shapes': () => swiglu({ gate: zeros([2, 3]), up: zeros([3, 2]) }),
  'swiglu: dtypes': () => swiglu({ gate: zeros([2, 3]), up: zeros([2, 3], 'bfloat16') }),
  'linear_cross_entropy: target': () => linearCrossEntropy(entropy({ edge_targets: ints(4, 5) })),
  'linear_cross_entropy: negative target': () => linearCrossEntropy(entropy({ edge_targets: ints(-100, 0) })),
  'linear_cross_entropy: row': () => linearCrossEntropy(entropy({ edge_rows: ints(0, 2) })),
  'linear_cross_entropy: weights': () => linearCrossEntropy(entropy({ edge_weights: Float32Array.of(1) })),
  'linear_cross_entropy: head': () => linearCrossEntropy(entropy({ weight: zeros([5, 4]) })),
  'embedding: id': () => embedding({ ids: ints(0, 5), weight: zeros([5, 2]) }),
  'embedding: table': () => embedding({ ids: ints(0), weight: zeros([5]) }),
  'adamw: nothing': () => adamw(step({ params: [], grads: [], m: [], v: [] })),
  'adamw: lists': () => adamw(step({ grads: [zeros([2])] })),
  'adamw: shapes': () => adamw(step({ m: [zeros([2]), zeros([2])] })),
  'adamw: dtype': () => adamw(step({ grads: [zeros([2]), zeros([3], 'bfloat16')] })),
  'adamw: betas': () => adamw(step({ betas: [1, 0.999] })),
  'read_tensor: path': () =>
    readTensor({ path: '/nowhere/file', offset: 0, source_dtype: 'F32', shape: [1], dtype: 'float32' }),
  'read_tensor: offset': () =>
    readTensor({ path: process.execPath, offset: -4, source_dtype: 'F32', shape: [1], dtype: 'float32' }),
};

function messageOf(fn: () => unknown): string {
  try {
    scope(fn);
  } catch (error) {
    if (error instanceof Error) return error.message;
  }
  return 'NOTHING WAS THROWN';
}

describe('mistakes', () => {
  it('are named with operation, argument and value', () => {
    const messages = Object.entries(MISTAKES).map(([name, fn]) => `${name} → ${messageOf(fn).split('\n')[0]}`);
    expect(messages).toMatchInlineSnapshot(`
      [
        "rms_norm: rank → rms_norm: expected x of shape [N, C], got float32[2, 4, 1]",
        "rms_norm: weight → rms_norm: expected weight of shape [C=4], got float32[5]",
        "rms_norm: residual → rms_norm: expected residual of shape [N=2, C=4], got float32[3, 4]",
        "rms_norm: dtypes → rms_norm: expected float32 or bfloat16 in all of x, weight, got weight bfloat16[4]",
        "rms_norm: ints → rms_norm: expected float32 or bfloat16 in all of x, weight, got x int32[2, 4]",
        "lora_linear: width → lora_linear: expected weight of shape [out=3, in=5], got float32[3, 4]",
        "lora_linear: bias → lora_linear: expected bias of shape [out=3], got float32[4]",
        "lora_linear: rank of A → lora_linear: expected B of shape [out=3, R=3], got float32[3, 2]",
        "lora_linear: second projection → lora_linear: expected weight of shape [out=3, in=4], got float32[3, 3]",
        "lora_linear: dtype of the adapter → lora_linear: expected float32 adapters, got bfloat16",
        "lora_linear: dropout → lora_linear: expected dropout in [0, 1), got 1",
        "rope: rows → rope: expected x of shape [3, W], got float32[2, 8]",
        "rope: head_dim → rope: expected head_dim 3 to divide the width and to hold 4 rotated channels, got width 8",
        "rope: rotary channels → rope: expected head_dim 4 to divide the width and to hold 6 rotated channels, got width 8",
        "tree_attention: end before its token → tree_attention: expected subtree_end[1] in (1, 3], so that subtrees nest, got 1",
        "tree_attention: end beyond the keys → tree_attention: expected subtree_end[0] in (0, 3], so that subtrees nest, got 4",
        "tree_attention: ends that do not nest → tree_attention: expected subtree_end[1] in (1, 2], so that subtrees nest, got 3",
        "tree_attention: number of ends → tree_attention: expected 3 subtree ends, got 2",
        "tree_attention: heads → tree_attention: expected widths of 3 query and 1 key heads of one size, got 8 and 4",
        "tree_attention: key heads → tree_attention: expected widths of 2 query and 2 key heads of one size, got 8 and 4",
        "tree_attention: values → tree_attention: expected v of shape [S=3, X=4], got float32[3, 8]",
        "tree_attention: query_start → tree_attention: expected the queries to end with the 3 keys, got 1 + 3",
        "swiglu: shapes → swiglu: expected up of shape [N=2, F=3], got float32[3, 2]",
        "swiglu: dtypes → swiglu: expected float32 or bfloat16 in all of gate, up, got up bfloat16[2, 3]",
        "linear_cross_entropy: target → linear_cross_entropy: expected targets in [0, 5), got 5 at edge 1",
        "linear_cross_entropy: negative target → linear_cross_entropy: expected targets in [0, 5), got -100 at edge 0",
        "linear_cross_entropy: row → linear_cross_entropy: expected edge rows in [0, 2), got 2 at edge 1",
        "linear_cross_entropy: weights → linear_cross_entropy: expected as many targets and weights as the 2 rows, got 2 and 1",
        "linear_cross_entropy: head → linear_cross_entropy: expected weight of shape [V=5, C=3], got float32[5, 4]",
        "embedding: id → embedding: expected ids in [0, 5), got 5 at index 1",
        "embedding: table → embedding: expected weight of shape [V, C], got float32[5]",
        "adamw: nothing → adamw: expected one gradient, m and v for each parameter, got 0,0,0,0",
        "adamw: lists → adamw: expected one gradient, m and v for each parameter, got 2,1,2,2",
        "adamw: shapes → adamw: expected m 1 of shape [3], got float32[2]",
        "adamw: dtype → adamw: expected float32 in grad 1, got bfloat16",
        "adamw: betas → adamw: expected betas in [0, 1) and a step from 1, got 1, 0.999 and step 1",
        "read_tensor: path → read_tensor: expected a file at /nowhere/file",
        "read_tensor: offset → read_tensor: expected a byte offset, got -4",
      ]
    `);
    expect(messages.filter((text) => text.includes('NOTHING'))).toEqual([]);
  });

  it('are the same without kernels', async () => {
    const all = () => Object.values(MISTAKES).map(messageOf);
    expect(await withoutKernels(all)).toEqual(all());
  });

  it('leave no tensor behind', () => {
    const before = liveTensors();
    for (const fn of Object.values(MISTAKES)) messageOf(fn);
    expect(liveTensors()).toBe(before);
  });
});

describe('doors of the kernels', () => {
  const T = { type: 'float32' } as const;
  const readAttributes = { source_type: T, T, shape: { shape: [1] }, check_finite: true };
  const bytes = (text: string) => tensor(new TextEncoder().encode(text), [text.length]);
  const hyper = (...values: number[]) => floatBits(Float32Array.from(values), [values.length]);
  const frequencies = (...shape: number[]) => floatBits(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const good = [0.1, 0.9, 0.999, 1e-8, 0, 1, 1, 0.1, 0.001];
  const four = (t: () => Tensor) => [t(), t(), t(), t()];
  const normed = { T, eps: { float: 1e-5 } };
  const turned = (direction = 1) => ({ T, head_dim: 4, interleaved: false, direction });
  const at = (...values: number[]) => tensor(ints(...values), [values.length]);

  it.each<[string, string, Attributes, () => Tensor[], number, RegExp]>([
    ['x of rank 1', 'RocitRmsNorm', normed, () => [zeros([4]), zeros([0]), zeros([4])], 3, /rank 2/],
    [
      'a residual of other rows',
      'RocitRmsNorm',
      normed,
      () => [zeros([2, 4]), zeros([3, 4]), zeros([4])],
      3,
      /residual/,
    ],
    ['a short weight', 'RocitRmsNorm', normed, () => [zeros([2, 4]), zeros([0]), zeros([3])], 3, /weight/],
    ['eps below 0', 'RocitRmsNorm', { T, eps: { float: -1 } }, () => [zeros([2, 4]), zeros([0]), zeros([4])], 3, /eps/],
    ['mixed dtypes', 'RocitRmsNorm', normed, () => [zeros([2, 4]), zeros([0]), zeros([4], 'bfloat16')], 3, /bfloat16/],
    [
      'dy of other rows',
      'RocitRmsNormGrad',
      { T },
      () => [zeros([3, 4]), zeros([0]), zeros([2, 4]), zeros([4]), zeros([3])],
      1,
      /sum/,
    ],
    [
      'a short rstd',
      'RocitRmsNormGrad',
      { T },
      () => [zeros([2, 4]), zeros([0]), zeros([2, 4]), zeros([4]), zeros([1])],
      1,
      /rstd/,
    ],
    [
      'eight hyper values',
      'RocitAdamw',
      { N: 1 },
      () => [...four(() => zeros([2])), hyper(...good.slice(1))],
      4,
      /hyper/,
    ],
    ['a beta of 1', 'RocitAdamw', { N: 1 }, () => [...four(() => zeros([2])), hyper(...good.with(1, 1))], 4, /betas/],
    [
      'a NaN',
      'RocitAdamw',
      { N: 1 },
      () => [...four(() => zeros([2])), hyper(...good.with(0, Number.NaN))],
      4,
      /finite/,
    ],
    [
      'a gradient of another shape',
      'RocitAdamw',
      { N: 1 },
      () => [zeros([2]), zeros([3]), zeros([2]), zeros([2]), hyper(...good)],
      4,
      /grads\[0\]/,
    ],
    ['x of rank 3', 'RocitRope', turned(), () => [zeros([2, 4, 1]), at(0, 1), frequencies(2)], 1, /rank 2/],
    ['positions of other rows', 'RocitRope', turned(), () => [zeros([2, 8]), at(0), frequencies(2)], 1, /position_ids/],
    [
      'heads that do not fit',
      'RocitRope',
      turned(),
      () => [zeros([2, 6]), at(0, 1), frequencies(2)],
      1,
      /head_dim 4.*6/,
    ],
    ['too many frequencies', 'RocitRope', turned(), () => [zeros([2, 8]), at(0, 1), frequencies(3)], 1, /6/],
    ['frequencies of rank 2', 'RocitRope', turned(), () => [zeros([2, 8]), at(0, 1), frequencies(2, 1)], 1, /inv_freq/],
    ['another direction', 'RocitRope', turned(2), () => [zeros([2, 8]), at(0, 1), frequencies(2)], 1, /direction.*2/],
    ['gate of rank 1', 'RocitSwiglu', { T }, () => [zeros([4]), zeros([4])], 1, /rank 2/],
    ['up of another shape', 'RocitSwiglu', { T }, () => [zeros([2, 3]), zeros([3, 2])], 1, /up/],
    ['gate of another shape', 'RocitSwigluGrad', { T }, () => [zeros([2, 3]), zeros([2, 2]), zeros([2, 3])], 2, /gate/],
    ['an id too large', 'RocitEmbedding', { T }, () => [zeros([5, 2]), at(0, 5)], 1, /\[0, 5\), got 5 at index 1/],
    ['a negative id', 'RocitEmbedding', { T }, () => [zeros([5, 2]), at(-1)], 1, /got -1 at index 0/],
    ['an empty table', 'RocitEmbedding', { T }, () => [zeros([0, 2]), at(0)], 1, /\[0, 0\)/],
    ['a table of rank 1', 'RocitEmbedding', { T }, () => [zeros([5]), at(0)], 1, /weight/],
    ['an empty path', 'RocitReadTensor', readAttributes, () => [bytes(''), tensor(ints(0, 0), [2])], 1, /path/],
    ['a zero byte', 'RocitReadTensor', readAttributes, () => [bytes('/a\0b'), tensor(ints(0, 0), [2])], 1, /path/],
    ['one offset word', 'RocitReadTensor', readAttributes, () => [bytes('/a'), tensor(ints(0), [1])], 1, /offset/],
    [
      'a negative offset',
      'RocitReadTensor',
      readAttributes,
      () => [bytes('/a'), tensor(ints(0, -1), [2])],
      1,
      /offset/,
    ],
    ['no file', 'RocitReadTensor', readAttributes, () => [bytes('/nowhere'), tensor(ints(0, 0), [2])], 1, /nowhere/],
    ['a folder', 'RocitReadTensor', readAttributes, () => [bytes('/tmp'), tensor(ints(0, 0), [2])], 1, /\/tmp/],
  ])('refuse %s: %s', (_, name, attributes, inputs, outputs, reason) => {
    scope(() => {
      const message = messageOf(() => runMany(name, attributes, inputs(), outputs));
      expect(message.startsWith(`${name}(`)).toBe(true);
      expect(message).toMatch(reason);
    });
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

  it('do not bring rms_norm down, nor its kernel', () => {
    const property = fc.property(shape, shape, shape, values, dtype, (x, residual, weight, pattern, type) => {
      const make = () => [x, residual, weight].map((dims) => fill(dims, pattern, type)) as [Tensor, Tensor, Tensor];
      survives(() => {
        const [tx, tr, tw] = make();
        return Object.values(rmsNorm({ x: tx, residual: tr, weight: tw, eps: 1e-5 }));
      });
      survives(() => runMany('RocitRmsNorm', { T: { type }, eps: { float: 1e-5 } }, make(), 3));
      survives(() => {
        const [tx, tr, tw] = make();
        return runMany('RocitRmsNormGrad', { T: { type } }, [tx, tr, tx, tw, fill(weight, pattern, 'float32')], 1);
      });
    });
    fc.assert(property, { numRuns: 150, seed: 1 });
  });

  it('do not bring adamw down', () => {
    const property = fc.property(
      fc.array(shape, { minLength: 1, maxLength: 3 }),
      shape,
      values,
      (shapes, odd, pattern) => {
        survives(() => {
          const make = () => shapes.map((dims) => fill(dims, pattern, 'float32'));
          const result = adamw(step({ params: make(), grads: make(), m: make(), v: make() }));
          return [...result.params, ...result.m, ...result.v];
        });
        survives(() => {
          const one = (dims: readonly number[]) => fill(dims, pattern, 'float32');
          const dims = shapes[0] as number[];
          return runMany(
            'RocitAdamw',
            { N: 1 },
            [one(dims), one(odd), one(dims), one(dims), fill([9], pattern, 'float32')],
            4,
          );
        });
      },
    );
    fc.assert(property, { numRuns: 100, seed: 1 });
  });

  it('do not bring tree_attention down', () => {
    const bounds = fc.array(fc.integer({ min: -2, max: 6 }), { maxLength: 5 });
    const heads = fc.integer({ min: 1, max: 3 });
    const property = fc.property(bounds, heads, heads, dimension, values, dtype, (ends, H, K, D, pattern, type) => {
      const S = ends.length;
      survives(() => [
        treeAttention({
          q: fill([S, H * D], pattern, type),
          k: fill([S, K * D], pattern, type),
          v: fill([S, K * D], pattern, type),
          num_heads: H,
          num_key_value_heads: K,
          subtree_end: Int32Array.from(ends),
          query_start: 0,
          scale: 1,
        }),
      ]);
    });
    fc.assert(property, { numRuns: 150, seed: 1 });
  });

  it('do not bring the others down', () => {
    const edges = fc.array(fc.integer({ min: -1, max: 5 }), { maxLength: 4 });
    const property = fc.property(shape, shape, edges, values, dtype, (a, b, numbers, pattern, type) => {
      const [x, y] = [() => fill(a, pattern, type), () => fill(b, pattern, type)];
      const list = Int32Array.from(numbers);
      survives(() => [swiglu({ gate: x(), up: y() })]);
      survives(() => loraLinear(x(), [{ weight: y(), bias: null, lora: null }]));
      survives(() => [embedding({ ids: list, weight: x() })]);
      survives(() => [rope(rotation({ x: x(), position_ids: list }))]);
      survives(() => {
        const weights = Float32Array.from(numbers);
        const args = { x: x(), weight: y(), edge_rows: list, edge_targets: list, edge_weights: weights };
        return Object.values(linearCrossEntropy(args));
      });
    });
    fc.assert(property, { numRuns: 100, seed: 1 });
  });
});
