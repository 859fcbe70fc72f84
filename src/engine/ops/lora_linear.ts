// Frozen linear layers with low-rank adapters (Hu et al., arXiv 2106.09685), several projections of one input:
//   y = x Wᵀ + bias + scaling · (dropout(x) Aᵀ) Bᵀ
// As PEFT does, the adapter computes in float32 over a bfloat16 base. BA and dW are never formed. Kernel and composition
// draw their dropout masks from different generators; each is a pure function of the seed.
import { needsGradient, record } from '../autograd.ts';
import { constant, floatBits, none } from '../host_inputs.ts';
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { runMany, scope, type Tensor, tensor } from '../tensor.ts';
import { check, checkFinite, checkFloat, checkShapes } from './check.ts';

/** What RocitLoraLinear takes at once. */
const MOST_PROJECTIONS = 8;

export interface LoraWeights {
  /** [R, in] float32, trainable. */
  A: Tensor;
  /** [out, R] float32, trainable. */
  B: Tensor;
  /** lora_alpha / r, or lora_alpha / sqrt(r) for rsLoRA. */
  scaling: number;
  /** Probability that a channel of the adapter's input is dropped; 0 at evaluation. */
  dropout: number;
  /** Seed of this call's dropout mask. */
  seed: number;
}

export interface Projection {
  /** [out, in] float32 or bfloat16, frozen. */
  weight: Tensor;
  /** [out] of the same dtype. */
  bias: Tensor | null;
  lora: LoraWeights | null;
}

/** x [N, in] → [N, out] for each projection. */
export function loraLinear(x: Tensor, projections: readonly Projection[]): Tensor[] {
  for (const projection of projections) checkProjection(x, projection);
  if (hasKernel('RocitLoraLinear')) return kernel(x, projections);
  return projections.map((projection) => project(x, projection));
}

function checkProjection(x: Tensor, { weight, bias, lora }: Projection): void {
  checkShapes('lora_linear', {
    x: [x, 'N', 'in'],
    weight: [weight, 'out', 'in'],
    ...(bias && { bias: [bias, 'out'] }),
    ...(lora && { A: [lora.A, 'R', 'in'], B: [lora.B, 'out', 'R'] }),
  });
  checkFloat('lora_linear', { x, weight, bias });
  if (lora === null) return;
  checkFloat('lora_linear', { A: lora.A, B: lora.B });
  check('lora_linear', lora.A.dtype === 'float32', () => `expected float32 adapters, got ${lora.A.dtype}`);
  const { scaling, dropout } = lora;
  checkFinite('lora_linear', { scaling });
  check('lora_linear', dropout >= 0 && Math.fround(dropout) < 1, () => `expected dropout in [0, 1), got ${dropout}`);
}

function project(x: Tensor, { weight, bias, lora }: Projection): Tensor {
  const { y, z } = scope(() => {
    const product = p.matMul(x, weight, { transposeB: true });
    const base = bias === null ? product : p.add(product, bias);
    if (lora === null) return { y: base, z: null };
    const z = p.matMul(adapterInput(x, lora), lora.A, { transposeB: true });
    const update = p.mul(p.matMul(z, lora.B, { transposeB: true }), lora.scaling);
    return { y: p.cast(p.add(p.cast(base, 'float32'), update), x.dtype), z };
  });
  if (!needsGradient(x, lora?.A ?? null, lora?.B ?? null)) return y;
  if (lora === null || z === null) {
    record({ inputs: [x], outputs: [y], saved: [weight], backward: ([dy]) => [p.matMul(dy as Tensor, weight)] });
  } else {
    record({
      inputs: [x, lora.A, lora.B],
      outputs: [y],
      saved: [x, weight, z, lora.A, lora.B],
      backward: ([dy]) => gradients(dy as Tensor, { x, weight, z, lora }),
    });
  }
  return y;
}

interface Saved {
  x: Tensor;
  weight: Tensor;
  /** dropout(x) Aᵀ, [N, R] float32. */
  z: Tensor;
  lora: LoraWeights;
}

// With dz = scaling · dy B:  dB = scaling · dyᵀ z;  dA = dzᵀ dropout(x);  dx = dy W + dropout'(dz A)
function gradients(dy: Tensor, { x, weight, z, lora }: Saved): (Tensor | null)[] {
  const wide = p.mul(p.cast(dy, 'float32'), lora.scaling);
  const dB = p.matMul(wide, z, { transposeA: true });
  const dz = p.matMul(wide, lora.B);
  const dA = p.matMul(dz, adapterInput(x, lora), { transposeA: true });
  if (!x.requiresGrad) return [null, dA, dB];
  const through = p.matMul(dz, lora.A);
  const dropped = lora.dropout > 0 ? p.mul(through, keepMask(x, lora)) : through;
  const dx = p.add(p.cast(p.matMul(dy, weight), 'float32'), dropped);
  return [p.cast(dx, x.dtype), dA, dB];
}

function adapterInput(x: Tensor, lora: LoraWeights): Tensor {
  const wide = p.cast(x, 'float32');
  return lora.dropout > 0 ? p.mul(wide, keepMask(x, lora)) : wide;
}

/** 0 where a channel is dropped, else 1 / (1 − dropout): the same mask forward and backward, from the seed. */
function keepMask(x: Tensor, { dropout, seed }: LoraWeights): Tensor {
  const kept = p.greaterEqual(p.uniform(seed, x.shape), p.fill(dropout, [], 'float32'));
  return p.mul(p.cast(kept, 'float32'), 1 / (1 - dropout));
}

function kernel(x: Tensor, projections: readonly Projection[]): Tensor[] {
  const groups = Array.from({ length: Math.ceil(projections.length / MOST_PROJECTIONS) }, (_, i) =>
    projections.slice(i * MOST_PROJECTIONS, (i + 1) * MOST_PROJECTIONS),
  );
  return groups.flatMap((group) => projectTogether(x, group));
}

function projectTogether(x: Tensor, projections: readonly Projection[]): Tensor[] {
  const P = projections.length;
  const { y, z } = scope(() => {
    const outputs = runMany('RocitLoraLinear', { T: { type: x.dtype }, P }, forwardInputs(x, projections), P + 1);
    return { y: outputs.slice(0, P), z: outputs[P] as Tensor };
  });
  const isTaped = projections.map(({ lora }) => needsGradient(x, lora?.A ?? null, lora?.B ?? null));
  const adapters = projections.flatMap(({ lora }) => (lora === null ? [] : [lora.A, lora.B]));
  // One tensor in two places has one sum, which only the tape can add to twice.
  const addsTo = new Set(adapters).size === adapters.length ? adapters : [];
  record({
    inputs: [x, ...adapters],
    outputs: y.filter((_, p) => isTaped[p]),
    saved: [x, z, ...projections.map(({ weight }) => weight), ...adapters],
    addsTo,
    backward: (incoming, before) => {
      const arrived = incoming.values();
      const dy = isTaped.map((taped) => (taped ? (arrived.next().value ?? null) : null));
      const sums = adapterInputs(projections, (t) => (addsTo.includes(t) ? before(t) : null));
      return kernelGradients({ x, z, projections, dy, sums });
    },
  });
  return y;
}

function forwardInputs(x: Tensor, projections: readonly Projection[]): Tensor[] {
  return [
    x,
    ...projections.map(({ weight }) => weight),
    ...projections.map(({ bias }) => bias ?? none(x.dtype)),
    ...adapterInputs(projections),
    ...settings(projections),
  ];
}

/** Every A, then every B, or what stands for it. */
function adapterInputs(projections: readonly Projection[], of: (t: Tensor) => Tensor | null = (t) => t): Tensor[] {
  const orNone = (t: Tensor | undefined) => (t === undefined ? null : of(t)) ?? none('float32');
  return [...projections.map(({ lora }) => orNone(lora?.A)), ...projections.map(({ lora }) => orNone(lora?.B))];
}

/** Settings without dropout by their values, which a run has few of. */
const undropped = new Map<string, { settings: Float32Array; seeds: Int32Array }>();

/** Scaling and dropout [P, 2], seeds [P]. */
function settings(projections: readonly Projection[]): Tensor[] {
  const P = projections.length;
  const values = projections.flatMap(({ lora }) => [lora?.scaling ?? 0, lora?.dropout ?? 0]);
  if (projections.some(({ lora }) => lora !== null && lora.dropout > 0)) {
    const seeds = Int32Array.from(projections, ({ lora }) => (lora?.seed ?? 0) | 0);
    return [floatBits(Float32Array.from(values), [P, 2]), tensor(seeds, [P])];
  }
  const key = values.join();
  const known = undropped.get(key) ?? { settings: Float32Array.from(values), seeds: new Int32Array(P) };
  undropped.set(key, known);
  return [constant(known.settings, [P, 2]), constant(known.seeds)];
}

interface GradientArguments {
  x: Tensor;
  z: Tensor;
  projections: readonly Projection[];
  dy: readonly (Tensor | null)[];
  /** What the gradients of every A, then of every B are added to. */
  sums: readonly Tensor[];
}

/** Of x, then of A and B of every adapter. */
function kernelGradients({ x, z, projections, dy, sums }: GradientArguments): (Tensor | null)[] {
  const P = projections.length;
  const inputs = [
    x,
    ...projections.map(({ weight }) => weight),
    ...adapterInputs(projections),
    z,
    ...dy.map((gradient) => gradient ?? none(x.dtype)),
    ...settings(projections),
    ...sums,
  ];
  const attributes = { T: { type: x.dtype }, P, wants_dx: x.requiresGrad };
  const [dx, ...rest] = runMany('RocitLoraLinearGrad', attributes, inputs, 2 * P + 1);
  const pairs = projections.flatMap(({ lora }, p) => (lora === null ? [] : [rest[p] as Tensor, rest[P + p] as Tensor]));
  return [x.requiresGrad ? (dx as Tensor) : null, ...pairs];
}
