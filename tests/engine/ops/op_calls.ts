// Random calls that fit, for each operation; what is wrong about a value or a setting stands beside it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import type { Attributes } from '../../../src/engine/backend.ts';
import { adamw } from '../../../src/engine/ops/adamw.ts';
import { embedding } from '../../../src/engine/ops/embedding.ts';
import { linearCrossEntropy } from '../../../src/engine/ops/linear_cross_entropy.ts';
import { loraLinear } from '../../../src/engine/ops/lora_linear.ts';
import { type ReadTensorArguments, readTensor } from '../../../src/engine/ops/read_tensor.ts';
import { rmsNorm } from '../../../src/engine/ops/rms_norm.ts';
import { rope } from '../../../src/engine/ops/rope.ts';
import { swiglu } from '../../../src/engine/ops/swiglu.ts';
import { treeAttention } from '../../../src/engine/ops/tree_attention.ts';
import { type Argument, anywhere, type Call, floats, list } from '../../support/calls.ts';
import {
  anyFloats,
  anyInts,
  finiteFloats,
  floatType,
  forest,
  indices,
  MOST_INT32,
  NO_FLOATS,
  NOT_FINITE,
  positive,
  repeat,
  size,
  subtreeEnds,
  wrongEnds,
} from '../../support/random_sizes.ts';

/** Beyond float32. */
const HUGE = 1e39;
const WILD = [...NOT_FINITE, HUGE];

/** Each of the values in the place of a setting. */
const wrongly = (name: string, ...values: readonly number[]): Attributes[] =>
  values.map((value) => ({ [name]: value }));
const rows = fc.record({ N: size, C: size, type: floatType, values: anyFloats, hasMore: fc.boolean() });

const rmsNorms = fc.tuple(rows, fc.constantFrom(0, 1e-5, 1)).map(([{ N, C, type, values, hasMore }, eps]): Call => {
  const x = floats([N, C], values, type, hasMore ? {} : { free: [0] });
  return {
    args: { x, ...(hasMore && { residual: floats([N, C], values, type) }), weight: floats([C], values, type) },
    settings: { eps },
    wrongSettings: wrongly('eps', -1, ...WILD),
    run: ({ x, residual, weight }, _, { eps }) =>
      Object.values(rmsNorm({ x: x!, residual: residual ?? null, weight: weight!, eps: Number(eps) })),
  };
});

const turns = fc.record({
  heads: size,
  head_dim: positive,
  pairs: fc.nat(),
  positions: anyInts,
  frequencies: anyFloats,
  hasKeys: fc.boolean(),
});

const ropes = fc.tuple(rows, turns).map(([{ N, type, values, hasMore }, turn]): Call => {
  const { heads, head_dim, hasKeys } = turn;
  const pairs = turn.pairs % (Math.floor(head_dim / 2) + 1);
  const free = head_dim === 1 ? [1] : [];
  return {
    args: {
      q: floats([N, heads * head_dim], values, type, { free, ...(!hasKeys && { wrongTypes: NO_FLOATS }) }),
      ...(hasKeys && { k: floats([N, head_dim], values, type, { free }) }),
      position_ids: list('int32', repeat(turn.positions, N)),
      inv_freq: list('float32', repeat(turn.frequencies, pairs), { free: [0] }),
    },
    settings: { head_dim },
    wrongSettings: wrongly('head_dim', 0, -4, 0.5, Number.NaN),
    run: (x, { position_ids, inv_freq }, { head_dim }) =>
      rope({
        x: Object.values(x),
        head_dim: Number(head_dim),
        position_ids: position_ids as Int32Array,
        inv_freq: inv_freq as Float32Array,
        interleaved: hasMore,
      }),
  };
});

const swiglus = rows.map(
  ({ N, C, type, values }): Call => ({
    args: { gate: floats([N, C], values, type), up: floats([N, C], values.toReversed(), type) },
    settings: {},
    wrongSettings: [],
    run: ({ gate, up }) => [swiglu({ gate: gate!, up: up! })],
  }),
);

const embeddings = fc.tuple(rows, size, anyInts).map(([{ N, C, type, values }, V, numbers]): Call => {
  const ids = indices(numbers, N, V);
  return {
    args: {
      weight: floats([V, C], values, type, { free: [0, 1], wrongTypes: NO_FLOATS }),
      ids: list('int32', ids, { free: [0], wrong: anywhere(ids.length, -1, V, MOST_INT32) }),
    },
    settings: {},
    wrongSettings: [],
    run: ({ weight }, { ids }) => [embedding({ ids: ids as Int32Array, weight: weight! })],
  };
});

const edges = fc.record({ V: size, E: size, numbers: anyInts, weights: finiteFloats });

const entropies = fc.tuple(rows, edges).map(([{ N, C, type, values }, { V, E, numbers, weights }]): Call => {
  const count = N * V === 0 ? 0 : E;
  return {
    args: {
      x: floats([N, C], values, type, { free: [0] }),
      weight: floats([V, C], values, type, { free: [0] }),
      edge_rows: list('int32', indices(numbers, count, N), { wrong: anywhere(count, -1, N, MOST_INT32) }),
      edge_targets: list('int32', indices(numbers, count, V), { wrong: anywhere(count, -100, V) }),
      edge_weights: list('float32', repeat(weights, count), { wrong: anywhere(count, ...NOT_FINITE) }),
    },
    settings: {},
    wrongSettings: [],
    run: ({ x, weight }, { edge_rows, edge_targets, edge_weights }) =>
      Object.values(
        linearCrossEntropy({
          x: x!,
          weight: weight!,
          edge_rows: edge_rows as Int32Array,
          edge_targets: edge_targets as Int32Array,
          edge_weights: edge_weights as Float32Array,
        }),
      ),
  };
});

const part = fc.record({ out: size, R: size, hasBias: fc.boolean(), hasAdapter: fc.boolean() });
const layers = fc.record({
  parts: fc.array(part, { minLength: 1, maxLength: 9 }),
  scaling: fc.float({ noNaN: true, noDefaultInfinity: true }),
  dropout: fc.constantFrom(0, 0.5),
});

const loraLinears = fc.tuple(rows, layers).map(([{ N, C, type, values }, { parts, ...settings }]): Call => {
  const args: Record<string, Argument> = { x: floats([N, C], values, type, { free: [0] }) };
  for (const [p, { out, R, hasBias, hasAdapter }] of parts.entries()) {
    args[`weight${p}`] = floats([out, C], values, type, hasBias || hasAdapter ? {} : { free: [0] });
    if (hasBias) args[`bias${p}`] = floats([out], values, type);
    if (!hasAdapter) continue;
    args[`A${p}`] = floats([R, C], values);
    args[`B${p}`] = floats([out, R], values);
  }
  const isAdapted = parts.some(({ hasAdapter }) => hasAdapter);
  return {
    args,
    settings,
    wrongSettings: isAdapted ? [...wrongly('scaling', ...WILD), ...wrongly('dropout', 1, 1 - 1e-9, -0.5, ...WILD)] : [],
    run: (tensors, _, { scaling, dropout }) =>
      loraLinear(
        tensors.x!,
        parts.map(({ hasAdapter }, p) => ({
          weight: tensors[`weight${p}`]!,
          bias: tensors[`bias${p}`] ?? null,
          lora: hasAdapter
            ? {
                A: tensors[`A${p}`]!,
                B: tensors[`B${p}`]!,
                scaling: Number(scaling),
                dropout: Number(dropout),
                seed: p,
              }
            : null,
        })),
      ),
  };
});

const shapes = fc.array(fc.array(size, { maxLength: 2 }), { minLength: 1, maxLength: 3 });

const steps = fc.tuple(shapes, fc.tuple(anyFloats, anyFloats, anyFloats, anyFloats)).map(([shapes, values]): Call => {
  const lists = ['params', 'grads', 'm', 'v'];
  const args = lists.flatMap((name, l) =>
    shapes.map((shape, i) => [`${name}${i}`, floats(shape, values[l] as number[])] as const),
  );
  const settings = {
    learning_rate: 0.1,
    beta1: 0.9,
    beta2: 0.999,
    eps: 1e-8,
    weight_decay: 0,
    max_grad_norm: 1,
    step: 1,
    grad_scale: 1,
  };
  const betas = [1, 1 - 1e-9, -0.5, ...WILD];
  return {
    args: Object.fromEntries(args),
    settings,
    wrongSettings: [
      ...Object.keys(settings).flatMap((name) => wrongly(name, ...WILD)),
      ...wrongly('beta1', ...betas),
      ...wrongly('beta2', ...betas),
      ...wrongly('eps', -1),
      ...wrongly('step', 0, -3),
    ],
    run(tensors, _, all) {
      const { beta1, beta2, ...rest } = all as Record<keyof typeof settings, number>;
      const [params, grads, m, v] = lists.map((name) => shapes.map((_, i) => tensors[`${name}${i}`]!));
      const result = adamw({ ...rest, betas: [beta1, beta2], params: params!, grads: grads!, m: m!, v: v! });
      return [...result.params, ...result.m, ...result.v];
    },
  };
});

const heads = fc.record({ group: fc.integer({ min: 1, max: 3 }), K: fc.integer({ min: 1, max: 3 }), D: size });
const attentions = fc.record({ heads, forest, start: fc.nat(), type: floatType, values: anyFloats });

const treeAttentions = attentions.map(({ heads: { group, K, D }, forest, start, type, values }): Call => {
  const ends = subtreeEnds(forest);
  const [S, H] = [ends.length, group * K];
  const query_start = start % (S + 1);
  return {
    args: {
      q: floats([S - query_start, H * D], values, type),
      k: floats([S, K * D], values, type),
      v: floats([S, K * D], values, type),
      subtree_end: list('int32', ends, { wrong: wrongEnds(ends) }),
    },
    settings: { num_heads: H, num_key_value_heads: K, query_start, scale: 0.3 },
    wrongSettings: [
      ...wrongly('scale', ...WILD),
      ...wrongly('num_heads', 0, -H, 0.5, Number.NaN),
      ...wrongly('num_key_value_heads', 0, -K, 0.5, Number.NaN),
      ...wrongly('query_start', -1, query_start + 1, Number.NaN),
    ],
    run: ({ q, k, v }, { subtree_end }, settings) => {
      const { num_heads, num_key_value_heads, query_start, scale } = settings as Record<string, number>;
      const shape = { num_heads: num_heads!, num_key_value_heads: num_key_value_heads! };
      const mask = { subtree_end: subtree_end as Int32Array, query_start: query_start!, scale: scale! };
      return [treeAttention({ q: q!, k: k!, v: v!, ...shape, ...mask })];
    },
  };
});

/** Bytes that are finite values of every dtype at every place, then bytes that are none. */
const [FINITE_BYTES, OTHER_BYTES] = [300, 40];

const readTensors = (folder: string) => {
  const path = join(folder, 'random_calls');
  writeFileSync(path, Buffer.concat([Buffer.alloc(FINITE_BYTES, 0x3c), Buffer.alloc(OTHER_BYTES, 0xff)]));
  const shapes = fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 2 });
  const source = fc.constantFrom('F32' as const, 'F16' as const, 'BF16' as const);
  return fc.tuple(shapes, source, floatType, fc.nat({ max: 200 })).map(
    ([shape, source_dtype, type, offset]): Call => ({
      args: {},
      settings: { path, offset, source_dtype, shape: { shape }, dtype: type },
      wrongSettings: [
        ...wrongly('offset', -1, 0.5, 2 ** 53, ...NOT_FINITE),
        { path: '' },
        { path: `${path}\0` },
        { path: folder },
        { path: join(path, 'x') },
        { source_dtype: 'F64' },
        { dtype: 'int32' },
        ...[[-1], [0.5], [2 ** 40, 2 ** 40], [FINITE_BYTES + OTHER_BYTES]].map((wrong) => ({
          shape: { shape: wrong },
        })),
        { shape: { shape: [Math.floor((FINITE_BYTES + OTHER_BYTES - offset) / 2)] }, source_dtype: 'BF16' },
      ],
      run: (_, __, { shape, ...rest }) => [
        readTensor({
          ...(rest as Omit<ReadTensorArguments, 'shape'>),
          ...(shape as Pick<ReadTensorArguments, 'shape'>),
        }),
      ],
    }),
  );
};

export function opCalls(folder: string): Record<string, fc.Arbitrary<Call>> {
  return {
    adamw: steps,
    embedding: embeddings,
    linear_cross_entropy: entropies,
    lora_linear: loraLinears,
    read_tensor: readTensors(folder),
    rms_norm: rmsNorms,
    rope: ropes,
    swiglu: swiglus,
    tree_attention: treeAttentions,
  };
}
