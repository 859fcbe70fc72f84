// Wrong arguments: the operations' errors name the operation, the argument and the value; the doors of the kernels
// refuse wrong shapes by themselves. Random ones are in fuzz.test.ts and tests/kernels/door_fuzz.test.ts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parameter, valueAndGradients } from '../../../src/engine/autograd.ts';
import type { Attributes } from '../../../src/engine/backend.ts';
import { floatBits } from '../../../src/engine/host_inputs.ts';
import { adamw } from '../../../src/engine/ops/adamw.ts';
import { embedding } from '../../../src/engine/ops/embedding.ts';
import { linearCrossEntropy } from '../../../src/engine/ops/linear_cross_entropy.ts';
import { loraLinear } from '../../../src/engine/ops/lora_linear.ts';
import { type ReadTensorArguments, readTensor } from '../../../src/engine/ops/read_tensor.ts';
import { rmsNorm } from '../../../src/engine/ops/rms_norm.ts';
import { rmsNormLoraLinear } from '../../../src/engine/ops/rms_norm_lora_linear.ts';
import { rope } from '../../../src/engine/ops/rope.ts';
import { swiglu } from '../../../src/engine/ops/swiglu.ts';
import { swigluLoraLinear } from '../../../src/engine/ops/swiglu_lora_linear.ts';
import { treeAttention } from '../../../src/engine/ops/tree_attention.ts';
import { treeAttentionLoraLinear } from '../../../src/engine/ops/tree_attention_lora_linear.ts';
import { startEngine, withoutKernels } from '../../../src/engine/runtime.ts';
import {
  type DType,
  liveTensors,
  runMany,
  scope,
  scopeAsync,
  type Tensor,
  tensor,
} from '../../../src/engine/tensor.ts';
import { ALL_KERNELS } from '../../support/all_kernels.ts';
import { fill, messageOf } from '../../support/calls.ts';

beforeAll(async () => {
  const { backend, kernels } = await startEngine();
  expect(backend).toBe('tensorflow');
  expect(kernels).toEqual(ALL_KERNELS);
});
afterAll(() => expect(liveTensors()).toBe(0));

const zeros = (shape: readonly number[], dtype?: DType) => fill(shape, [0], dtype);
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
  x: [zeros([2, 8])],
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
const reading = (changes: object = {}): ReadTensorArguments => ({
  path: process.execPath,
  offset: 0,
  source_dtype: 'F32',
  shape: [1],
  dtype: 'float32',
  ...changes,
});
const linear = (changes: object = {}) => ({ weight: zeros([3, 4]), bias: null, lora: null, ...changes });

const MISTAKES: Record<string, () => unknown> = {
  'rms_norm: rank': () => rmsNorm(norm({ x: zeros([2, 4, 1]) })),
  'rms_norm: weight': () => rmsNorm(norm({ weight: zeros([5]) })),
  'rms_norm: residual': () => rmsNorm(norm({ residual: zeros([3, 4]) })),
  'rms_norm: dtypes': () => rmsNorm(norm({ weight: zeros([4], 'bfloat16') })),
  'rms_norm: ints': () => rmsNorm(norm({ x: zeros([2, 4], 'int32') })),
  'rms_norm: eps': () => rmsNorm(norm({ eps: -1e-5 })),
  'rms_norm: eps that is not finite': () => rmsNorm(norm({ eps: Number.NaN })),
  'lora_linear: width': () => loraLinear(zeros([2, 5]), [linear()]),
  'lora_linear: bias': () => loraLinear(zeros([2, 4]), [linear({ bias: zeros([4]) })]),
  'lora_linear: rank of A': () => loraLinear(zeros([2, 4]), [linear({ lora: lora({ A: zeros([3, 4]) }) })]),
  'lora_linear: second projection': () => loraLinear(zeros([2, 4]), [linear(), linear({ weight: zeros([3, 3]) })]),
  'lora_linear: dtype of the adapter': () =>
    loraLinear(zeros([2, 4]), [linear({ lora: lora({ A: zeros([2, 4], 'bfloat16'), B: zeros([3, 2], 'bfloat16') }) })]),
  'lora_linear: dropout': () => loraLinear(zeros([2, 4]), [linear({ lora: lora({ dropout: 1 }) })]),
  'lora_linear: rank of x': () => loraLinear(zeros([2, 4, 1]), [linear()]),
  'lora_linear: dtype of x': () => loraLinear(zeros([2, 4], 'bfloat16'), [linear()]),
  'lora_linear: scaling': () =>
    loraLinear(zeros([2, 4]), [linear({ lora: lora({ scaling: Number.POSITIVE_INFINITY }) })]),
  'rms_norm_lora_linear: eps': () =>
    rmsNormLoraLinear({ x: zeros([2, 4]), residual: null, weight: zeros([4]), eps: -1, projections: [linear()] }),
  'swiglu_lora_linear: up': () => swigluLoraLinear({ gate: zeros([2, 4]), up: zeros([2, 3]), projections: [linear()] }),
  'tree_attention_lora_linear: weight': () => treeAttentionLoraLinear({ ...attention(), projections: [linear()] }),
  'tree_attention_lora_linear: ends that do not nest': () =>
    treeAttentionLoraLinear({ ...attention({ subtree_end: ints(2, 3, 3) }), projections: [] }),
  'rope: rows': () => rope(rotation({ position_ids: ints(0, 1, 2) })),
  'rope: head_dim': () => rope(rotation({ head_dim: 3 })),
  'rope: rotary channels': () => rope(rotation({ inv_freq: new Float32Array(3) })),
  'rope: dtype': () => rope(rotation({ x: [zeros([2, 8], 'int32')] })),
  'rope: two dtypes': () => rope(rotation({ x: [zeros([2, 8]), zeros([2, 4], 'bfloat16')] })),
  'rope: rank': () => rope(rotation({ x: [zeros([16])] })),
  'rope: no tensor': () => rope(rotation({ x: [] })),
  'rope: three tensors': () => rope(rotation({ x: [1, 2, 3].map(() => zeros([2, 8])) })),
  'rope: head_dim of 0': () => rope(rotation({ head_dim: 0 })),
  'tree_attention: end before its token': () => treeAttention(attention({ subtree_end: ints(3, 1, 3) })),
  'tree_attention: end beyond the keys': () => treeAttention(attention({ subtree_end: ints(4, 3, 3) })),
  'tree_attention: ends that do not nest': () => treeAttention(attention({ subtree_end: ints(2, 3, 3) })),
  'tree_attention: number of ends': () => treeAttention(attention({ subtree_end: ints(3, 3) })),
  'tree_attention: heads': () => treeAttention(attention({ num_heads: 3 })),
  'tree_attention: key heads': () => treeAttention(attention({ num_key_value_heads: 2 })),
  'tree_attention: values': () => treeAttention(attention({ v: zeros([3, 8]) })),
  'tree_attention: query_start': () => treeAttention(attention({ query_start: 1 })),
  'tree_attention: dtypes': () => treeAttention(attention({ k: zeros([3, 4], 'bfloat16') })),
  'tree_attention: ints': () => treeAttention(attention({ q: zeros([3, 8], 'int32') })),
  'tree_attention: rank': () => treeAttention(attention({ q: zeros([24]) })),
  'tree_attention: half a head': () => treeAttention(attention({ num_heads: 0.5 })),
  'tree_attention: scale': () => treeAttention(attention({ scale: Number.NaN })),
  'swiglu: shapes': () => swiglu({ gate: zeros([2, 3]), up: zeros([3, 2]) }),
  'swiglu: dtypes': () => swiglu({ gate: zeros([2, 3]), up: zeros([2, 3], 'bfloat16') }),
  'linear_cross_entropy: target': () => linearCrossEntropy(entropy({ edge_targets: ints(4, 5) })),
  'linear_cross_entropy: negative target': () => linearCrossEntropy(entropy({ edge_targets: ints(-100, 0) })),
  'linear_cross_entropy: row': () => linearCrossEntropy(entropy({ edge_rows: ints(0, 2) })),
  'linear_cross_entropy: weights': () => linearCrossEntropy(entropy({ edge_weights: Float32Array.of(1) })),
  'linear_cross_entropy: head': () => linearCrossEntropy(entropy({ weight: zeros([5, 4]) })),
  'linear_cross_entropy: rank of x': () => linearCrossEntropy(entropy({ x: zeros([6]) })),
  'linear_cross_entropy: dtypes': () => linearCrossEntropy(entropy({ weight: zeros([5, 3], 'bfloat16') })),
  'linear_cross_entropy: ints': () => linearCrossEntropy(entropy({ x: zeros([2, 3], 'int32') })),
  'linear_cross_entropy: weight of an edge': () =>
    linearCrossEntropy(entropy({ edge_weights: Float32Array.of(1, Number.NEGATIVE_INFINITY) })),
  'embedding: id': () => embedding({ ids: ints(0, 5), weight: zeros([5, 2]) }),
  'embedding: table': () => embedding({ ids: ints(0), weight: zeros([5]) }),
  'embedding: dtype': () => embedding({ ids: ints(0), weight: zeros([5, 2], 'int32') }),
  'adamw: nothing': () => adamw(step({ params: [], grads: [], m: [], v: [] })),
  'adamw: lists': () => adamw(step({ grads: [zeros([2])] })),
  'adamw: shapes': () => adamw(step({ m: [zeros([2]), zeros([2])] })),
  'adamw: dtype': () => adamw(step({ grads: [zeros([2]), zeros([3], 'bfloat16')] })),
  'adamw: betas': () => adamw(step({ betas: [1, 0.999] })),
  'adamw: a beta that rounds to 1': () => adamw(step({ betas: [0.9, 1 - 1e-9] })),
  'adamw: eps': () => adamw(step({ eps: -1e-8 })),
  'adamw: learning rate': () => adamw(step({ learning_rate: Number.NaN })),
  'adamw: gradient scale': () => adamw(step({ grad_scale: Number.POSITIVE_INFINITY })),
  'adamw: step': () => adamw(step({ step: 0 })),
  'read_tensor: path': () => readTensor(reading({ path: '/nowhere/file' })),
  'read_tensor: empty path': () => readTensor(reading({ path: '' })),
  'read_tensor: folder': () => readTensor(reading({ path: '/' })),
  'read_tensor: offset': () => readTensor(reading({ offset: -4 })),
  'read_tensor: dtype of the file': () => readTensor(reading({ source_dtype: 'F64' })),
  'read_tensor: dtype': () => readTensor(reading({ dtype: 'int32' })),
  'read_tensor: shape': () => readTensor(reading({ shape: [2, -1] })),
};

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
        "rms_norm: eps → rms_norm: expected eps >= 0, got -0.00001",
        "rms_norm: eps that is not finite → rms_norm: expected a finite eps, got NaN",
        "lora_linear: width → lora_linear: expected weight of shape [out=3, in=5], got float32[3, 4]",
        "lora_linear: bias → lora_linear: expected bias of shape [out=3], got float32[4]",
        "lora_linear: rank of A → lora_linear: expected B of shape [out=3, R=3], got float32[3, 2]",
        "lora_linear: second projection → lora_linear: expected weight of shape [out=3, in=4], got float32[3, 3]",
        "lora_linear: dtype of the adapter → lora_linear: expected float32 adapters, got bfloat16",
        "lora_linear: dropout → lora_linear: expected dropout in [0, 1), got 1",
        "lora_linear: rank of x → lora_linear: expected x of shape [N, in], got float32[2, 4, 1]",
        "lora_linear: dtype of x → lora_linear: expected float32 or bfloat16 in all of x, weight, got weight float32[3, 4]",
        "lora_linear: scaling → lora_linear: expected a finite scaling, got Infinity",
        "rms_norm_lora_linear: eps → rms_norm_lora_linear: expected eps >= 0, got -1",
        "swiglu_lora_linear: up → swiglu_lora_linear: expected up of shape [N=2, F=4], got float32[2, 3]",
        "tree_attention_lora_linear: weight → tree_attention_lora_linear: expected weight of shape [out=3, in=8], got float32[3, 4]",
        "tree_attention_lora_linear: ends that do not nest → tree_attention_lora_linear: expected subtree_end[1] in (1, 2], so that subtrees nest, got 3",
        "rope: rows → rope: expected x[0] of shape [3, W], got float32[2, 8]",
        "rope: head_dim → rope: expected head_dim 3 to divide the width and to hold 4 rotated channels, got width 8",
        "rope: rotary channels → rope: expected head_dim 4 to divide the width and to hold 6 rotated channels, got width 8",
        "rope: dtype → rope: expected float32 or bfloat16 in all of x[0], got x[0] int32[2, 8]",
        "rope: two dtypes → rope: expected float32 or bfloat16 in all of x[0], x[1], got x[1] bfloat16[2, 4]",
        "rope: rank → rope: expected x[0] of shape [2, W], got float32[16]",
        "rope: no tensor → rope: expected 1 to 2 tensors, got 0",
        "rope: three tensors → rope: expected 1 to 2 tensors, got 3",
        "rope: head_dim of 0 → rope: expected a head_dim from 1, got 0",
        "tree_attention: end before its token → tree_attention: expected subtree_end[1] in (1, 3], so that subtrees nest, got 1",
        "tree_attention: end beyond the keys → tree_attention: expected subtree_end[0] in (0, 3], so that subtrees nest, got 4",
        "tree_attention: ends that do not nest → tree_attention: expected subtree_end[1] in (1, 2], so that subtrees nest, got 3",
        "tree_attention: number of ends → tree_attention: expected 3 subtree ends, got 2",
        "tree_attention: heads → tree_attention: expected widths of 3 query and 1 key heads of one size, got 8 and 4",
        "tree_attention: key heads → tree_attention: expected widths of 2 query and 2 key heads of one size, got 8 and 4",
        "tree_attention: values → tree_attention: expected v of shape [S=3, X=4], got float32[3, 8]",
        "tree_attention: query_start → tree_attention: expected the queries to end with the 3 keys, got 1 + 3",
        "tree_attention: dtypes → tree_attention: expected float32 or bfloat16 in all of q, k, v, got k bfloat16[3, 4]",
        "tree_attention: ints → tree_attention: expected float32 or bfloat16 in all of q, k, v, got q int32[3, 8]",
        "tree_attention: rank → tree_attention: expected q of shape [N, W], got float32[24]",
        "tree_attention: half a head → tree_attention: expected numbers of heads from 1, got 0.5 and 1",
        "tree_attention: scale → tree_attention: expected a finite scale, got NaN",
        "swiglu: shapes → swiglu: expected up of shape [N=2, F=3], got float32[3, 2]",
        "swiglu: dtypes → swiglu: expected float32 or bfloat16 in all of gate, up, got up bfloat16[2, 3]",
        "linear_cross_entropy: target → linear_cross_entropy: expected targets in [0, 5), got 5 at edge 1",
        "linear_cross_entropy: negative target → linear_cross_entropy: expected targets in [0, 5), got -100 at edge 0",
        "linear_cross_entropy: row → linear_cross_entropy: expected edge rows in [0, 2), got 2 at edge 1",
        "linear_cross_entropy: weights → linear_cross_entropy: expected as many targets and weights as the 2 rows, got 2 and 1",
        "linear_cross_entropy: head → linear_cross_entropy: expected weight of shape [V=5, C=3], got float32[5, 4]",
        "linear_cross_entropy: rank of x → linear_cross_entropy: expected x of shape [N, C], got float32[6]",
        "linear_cross_entropy: dtypes → linear_cross_entropy: expected float32 or bfloat16 in all of x, weight, got weight bfloat16[5, 3]",
        "linear_cross_entropy: ints → linear_cross_entropy: expected float32 or bfloat16 in all of x, weight, got x int32[2, 3]",
        "linear_cross_entropy: weight of an edge → linear_cross_entropy: expected finite edge weights, got -Infinity at edge 1",
        "embedding: id → embedding: expected ids in [0, 5), got 5 at index 1",
        "embedding: table → embedding: expected weight of shape [V, C], got float32[5]",
        "embedding: dtype → embedding: expected float32 or bfloat16 in all of weight, got weight int32[5, 2]",
        "adamw: nothing → adamw: expected one gradient, m and v for each parameter, got 0,0,0,0",
        "adamw: lists → adamw: expected one gradient, m and v for each parameter, got 2,1,2,2",
        "adamw: shapes → adamw: expected m 1 of shape [3], got float32[2]",
        "adamw: dtype → adamw: expected float32 in grad 1, got bfloat16",
        "adamw: betas → adamw: expected betas in [0, 1) and a step from 1, got 1, 0.999 and step 1",
        "adamw: a beta that rounds to 1 → adamw: expected betas in [0, 1) and a step from 1, got 0.9, 0.999999999 and step 1",
        "adamw: eps → adamw: expected eps >= 0, got -1e-8",
        "adamw: learning rate → adamw: expected a finite learning_rate, got NaN",
        "adamw: gradient scale → adamw: expected a finite grad_scale, got Infinity",
        "adamw: step → adamw: expected betas in [0, 1) and a step from 1, got 0.9, 0.999 and step 0",
        "read_tensor: path → read_tensor: expected a file at /nowhere/file, got nothing there",
        "read_tensor: empty path → read_tensor: expected a path without zero bytes, got """,
        "read_tensor: folder → read_tensor: expected a file at /, got a folder or a device",
        "read_tensor: offset → read_tensor: expected a byte offset, got -4",
        "read_tensor: dtype of the file → read_tensor: expected source_dtype of F32,F16,BF16, got F64",
        "read_tensor: dtype → read_tensor: expected dtype float32 or bfloat16, got int32",
        "read_tensor: shape → read_tensor: expected a shape of whole numbers, got [2,-1]",
      ]
    `);
    expect(messages.filter((text) => text.includes('NOTHING'))).toEqual([]);
  });

  it('are the same without kernels', async () => {
    const all = () => Object.values(MISTAKES).map(messageOf);
    expect(await withoutKernels(all)).toEqual(all());
  });

  it('of a gradient through cached keys are named too', async () => {
    const cached = () => treeAttention(attention({ q: parameter(zeros([2, 8])), query_start: 1 }));
    const message = await scopeAsync(() => valueAndGradients(async () => cached())).catch(String);
    expect(message).toContain('tree_attention: expected query_start 0 where gradients are needed, got 1');
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
  const turned = (direction = 1) => ({ T, P: 1, head_dim: 4, interleaved: false, direction });
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
    [
      'positions of other rows',
      'RocitRope',
      turned(),
      () => [zeros([2, 8]), at(0), frequencies(2)],
      1,
      /x\[0\].*\[1,8\]/,
    ],
    [
      'three tensors',
      'RocitRope',
      { ...turned(), P: 3 },
      () => [zeros([2, 8]), zeros([2, 8]), zeros([2, 8]), at(0, 1), frequencies(2)],
      3,
      /at most 2 tensors, got 3/,
    ],
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
