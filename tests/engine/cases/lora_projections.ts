// Cases of the operations that make the input of lora_linear first: what a source gives, then projections of it.
import { loraLinear } from '../../../src/engine/ops/lora_linear.ts';
import { rmsNorm } from '../../../src/engine/ops/rms_norm.ts';
import { rmsNormLoraLinear } from '../../../src/engine/ops/rms_norm_lora_linear.ts';
import { swiglu } from '../../../src/engine/ops/swiglu.ts';
import { swigluLoraLinear } from '../../../src/engine/ops/swiglu_lora_linear.ts';
import { treeAttention } from '../../../src/engine/ops/tree_attention.ts';
import { treeAttentionLoraLinear } from '../../../src/engine/ops/tree_attention_lora_linear.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import * as norm from '../../reference/rms_norm.ts';
import * as gate from '../../reference/swiglu.ts';
import * as attention from '../../reference/tree_attention.ts';
import type { FloatInput, OpCase, Values } from '../op_case.ts';
import { type Part, projectionParts } from './lora_linear.ts';

type Tensors = Record<string, Tensor>;
type Projections = ReturnType<ReturnType<typeof projectionParts>['projections']>;

export interface ProjectedCase extends OpCase {
  /** The same results from the two operations one after the other. */
  runApart: OpCase['run'];
}

interface Source {
  name: string;
  inputs: Record<string, FloatInput>;
  arrays?: NonNullable<OpCase['arrays']>;
  together(tensors: Tensors, projections: Projections): { y: Tensor[]; more: Tensors };
  apart(tensors: Tensors): { x: Tensor; more: Tensors };
  twin(values: Values): { x: Float64Array; more: Values };
  /** Gradients of the source's inputs for those of x and of what else it gives. */
  twinGradients(values: Values, dx: Float64Array, more: Values): Values;
}

interface Setting {
  N: number;
  width: number;
  parts: readonly Part[];
  /** Outputs whose gradient is left out. */
  unused?: readonly string[];
  kernelsRun?: readonly string[];
}

function projectedCase(source: Source, { N, width, parts, unused = [], kernelsRun }: Setting): ProjectedCase {
  const own = projectionParts(N, width, parts);
  const trained = Object.keys(source.inputs).filter((name) => source.inputs[name]?.trainable);
  return {
    name: `${source.name} to ${parts.map(({ out }) => out).join(', ')}${unused.map((y) => ` without d ${y}`).join('')}`,
    inputs: { ...source.inputs, ...own.inputs },
    ...(source.arrays && { arrays: source.arrays }),
    withoutGradient: unused,
    ...(kernelsRun && { kernelsRun }),
    run(tensors) {
      const { y, more } = source.together(tensors, own.projections(tensors));
      return { ...own.named(y), ...more };
    },
    runApart(tensors) {
      const { x, more } = source.apart(tensors);
      return { ...own.named(loraLinear(x, own.projections(tensors))), ...more };
    },
    twin(values) {
      const { x, more } = source.twin(values);
      return { ...own.named(own.twin(values, x)), ...more };
    },
    twinGradients(values, dy) {
      const { dx, adapters } = own.twinGradients(values, source.twin(values).x, dy);
      const all = source.twinGradients(values, dx, dy);
      return { ...Object.fromEntries(trained.map((name) => [name, all[name]!])), ...adapters };
    },
  };
}

function normed(N: number, C: number, { residual = true, trainable = true } = {}): Source {
  const eps = 1e-5;
  const input = (values: Values): norm.RmsNormInput => ({
    num_rows: N,
    hidden_size: C,
    x: values.x!,
    residual: residual ? values.residual! : null,
    weight: values.weight!,
    eps,
  });
  const given = (sum: Tensor): Tensors => (residual ? { sum } : {});
  const args = ({ x, residual: added, weight }: Tensors) => ({ x: x!, residual: added ?? null, weight: weight!, eps });
  return {
    name: `${N}×${C} normed${residual ? ' with residual' : ''}${trainable ? '' : ', frozen'}`,
    inputs: {
      x: { shape: [N, C], trainable },
      ...(residual && { residual: { shape: [N, C], trainable } }),
      weight: { shape: [C], trainable: false },
    },
    together(tensors, projections) {
      const { y, sum } = rmsNormLoraLinear({ ...args(tensors), projections });
      return { y, more: given(sum) };
    },
    apart(tensors) {
      const { y, sum } = rmsNorm(args(tensors));
      return { x: y, more: given(sum) };
    },
    twin(values) {
      const { y, sum } = norm.rmsNorm(input(values));
      return { x: y, more: residual ? { sum } : {} };
    },
    twinGradients(values, dy, { sum }) {
      const { dx } = norm.rmsNormGrad(input(values), { dy, dsum: sum ?? new Float64Array(dy.length) });
      return { x: dx, residual: dx };
    },
  };
}

function gated(N: number, F: number, { trainable = true } = {}): Source {
  const input = (values: Values) => ({ gate: values.gate!, up: values.up! });
  return {
    name: `${N}×${F} gated${trainable ? '' : ', frozen'}`,
    inputs: { gate: { shape: [N, F], trainable }, up: { shape: [N, F], trainable } },
    together: (tensors, projections) => ({
      y: swigluLoraLinear({ gate: tensors.gate!, up: tensors.up!, projections }),
      more: {},
    }),
    apart: (tensors) => ({ x: swiglu({ gate: tensors.gate!, up: tensors.up! }), more: {} }),
    twin: (values) => ({ x: gate.swiglu(input(values)), more: {} }),
    twinGradients(values, dy) {
      const { dgate, dup } = gate.swigluGrad(input(values), dy);
      return { gate: dgate, up: dup };
    },
  };
}

function attended(ends: readonly number[], [H, K]: readonly [number, number], D: number, query_start = 0): Source {
  const [subtree_end, S, N] = [Int32Array.from(ends), ends.length, ends.length - query_start];
  const shape = { num_heads: H, num_key_value_heads: K, query_start, scale: 1 / Math.sqrt(D) };
  const trainable = query_start === 0;
  const input = ({ q, k, v }: Values): attention.TreeAttentionInput => ({
    ...{ ...shape, num_queries: N, num_keys: S, head_dim: D, subtree_end },
    ...{ q: q!, k: k!, v: v! },
  });
  const args = ({ q, k, v }: Tensors) => ({ ...shape, subtree_end, q: q!, k: k!, v: v! });
  return {
    name: `${N} of ${S} tokens, ${H}/${K} heads of ${D}`,
    inputs: {
      q: { shape: [N, H * D], trainable },
      k: { shape: [S, K * D], trainable },
      v: { shape: [S, K * D], trainable },
    },
    arrays: { subtree_end },
    together: (tensors, projections) => ({
      y: treeAttentionLoraLinear({ ...args(tensors), projections }),
      more: {},
    }),
    apart: (tensors) => ({ x: treeAttention(args(tensors)), more: {} }),
    twin: (values) => ({ x: attention.treeAttention(input(values)).o, more: {} }),
    twinGradients(values, dout) {
      const { dq, dk, dv } = attention.treeAttentionGrad(input(values), dout);
      return { q: dq, k: dk, v: dv };
    },
  };
}

const QKV: Part[] = [
  { out: 18, r: 4, scaling: 2 },
  { out: 6, r: 4, scaling: 2 },
  { out: 6, r: 4, scaling: 2 },
];
const MIXED: Part[] = [{ out: 5, r: 2, bias: true }, { out: 3 }, { out: 8, r: 3, dropout: 0.5 }];

export const rmsNormLoraLinearCases: ProjectedCase[] = [
  projectedCase(normed(6, 18), { N: 6, width: 18, parts: QKV }),
  projectedCase(normed(5, 123, { residual: false }), { N: 5, width: 123, parts: MIXED }),
  projectedCase(normed(4, 31), { N: 4, width: 31, parts: MIXED, unused: ['y1', 'sum'] }),
  projectedCase(normed(4, 31), { N: 4, width: 31, parts: MIXED, unused: ['y0', 'y1', 'y2'] }),
  projectedCase(normed(4, 10, { trainable: false }), { N: 4, width: 10, parts: MIXED }),
  projectedCase(normed(4, 10, { residual: false, trainable: false }), { N: 4, width: 10, parts: MIXED }),
  projectedCase(normed(3, 16), { N: 3, width: 16, parts: [{ out: 7 }] }),
  projectedCase(normed(0, 8), { N: 0, width: 8, parts: QKV }),
  projectedCase(normed(1, 9), { N: 1, width: 9, parts: [{ out: 1, r: 1 }] }),
];

export const swigluLoraLinearCases: ProjectedCase[] = [
  projectedCase(gated(5, 123), { N: 5, width: 123, parts: [{ out: 18, r: 4, scaling: 2 }] }),
  projectedCase(gated(7, 15), { N: 7, width: 15, parts: MIXED }),
  projectedCase(gated(7, 15), { N: 7, width: 15, parts: MIXED, unused: ['y0'] }),
  projectedCase(gated(4, 10, { trainable: false }), { N: 4, width: 10, parts: MIXED }),
  projectedCase(gated(0, 8), { N: 0, width: 8, parts: QKV }),
];

export const treeAttentionLoraLinearCases: ProjectedCase[] = [
  projectedCase(attended([7, 3, 3, 7, 5, 7, 7], [4, 2], 8), { N: 7, width: 32, parts: [{ out: 9, r: 3 }] }),
  projectedCase(attended([3, 3, 3, 8, 8, 8, 8, 8], [3, 1], 16), { N: 8, width: 48, parts: MIXED }),
  projectedCase(attended([9, 9, 9, 9, 9, 9, 9, 9, 9], [2, 2], 8, 6), {
    ...{ N: 3, width: 16, parts: [{ out: 5, bias: true }] },
    kernelsRun: ['RocitTreeAttentionLoraLinear'],
  }),
  projectedCase(attended([], [2, 1], 8), { N: 0, width: 16, parts: [{ out: 4, r: 2 }] }),
];
