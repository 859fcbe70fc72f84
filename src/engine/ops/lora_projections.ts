// What the operations over frozen linear layers with low-rank adapters share: their arguments, and one call of a kernel
// with its node on the tape, whatever the kernel makes the layers' input from.
import { type Backward, needsGradient, record } from '../autograd.ts';
import type { Attributes } from '../backend.ts';
import { constant, floatBits, none } from '../host_inputs.ts';
import { hasKernel } from '../runtime.ts';
import { runMany, scope, type Tensor, tensor } from '../tensor.ts';
import { check, checkFinite, checkFloat, checkShapes } from './check.ts';

/** What a kernel takes at once. */
export const MOST_PROJECTIONS = 8;

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

/** Checks a projection of an input of x's dtype and width. */
export function checkProjection(op: string, x: Tensor, { weight, bias, lora }: Projection): void {
  checkShapes(op, {
    x: [x, 'N', 'in'],
    weight: [weight, 'out', 'in'],
    ...(bias && { bias: [bias, 'out'] }),
    ...(lora && { A: [lora.A, 'R', 'in'], B: [lora.B, 'out', 'R'] }),
  });
  checkFloat(op, { x, weight, bias });
  if (lora === null) return;
  checkFloat(op, { A: lora.A, B: lora.B });
  check(op, lora.A.dtype === 'float32', () => `expected float32 adapters, got ${lora.A.dtype}`);
  const { scaling, dropout } = lora;
  checkFinite(op, { scaling });
  check(op, dropout >= 0 && Math.fround(dropout) < 1, () => `expected dropout in [0, 1), got ${dropout}`);
}

/** What a kernel makes the input x [N, in] of the projections from. */
export interface Source {
  /** The operation; its gradient has `Grad` behind. */
  name: string;
  /** Beside T, P and wants_dx. */
  attributes: Attributes;
  /** First inputs of the operation, of one dtype. */
  inputs: readonly Tensor[];
  /** Those of them that gradients are given for. */
  wanted: readonly Tensor[];
  /** Outputs behind those of the projections. */
  numExtra: number;
  /** Whether they are results of their own, which gradients may come back for. */
  givesExtra: boolean;
  /** First inputs of the gradient, which are kept for it. */
  gradientInputs: (extra: readonly Tensor[]) => readonly Tensor[];
  /** Its last inputs, from the gradients of the extra outputs. */
  gradientTail: (extra: readonly (Tensor | null)[]) => readonly Tensor[];
  /** First outputs of the gradient → the gradients of `wanted`. */
  numGradients: number;
  gradients: (first: readonly Tensor[]) => Tensor[];
}

export function hasProjectionKernel(name: string, projections: readonly Projection[]): boolean {
  const fits = projections.length > 0 && projections.length <= MOST_PROJECTIONS;
  return fits && hasKernel(name) && hasKernel(`${name}Grad`);
}

/** y [N, out] of each projection, and the extra outputs. */
export function projectByKernel(
  source: Source,
  projections: readonly Projection[],
): { y: Tensor[]; extra: readonly Tensor[] } {
  const P = projections.length;
  const T = { type: (source.inputs[0] as Tensor).dtype };
  const { y, z, extra } = scope(() => {
    const inputs = forwardInputs(source, projections);
    const outputs = runMany(source.name, { T, P, ...source.attributes }, inputs, P + 1 + source.numExtra);
    return { y: outputs.slice(0, P), z: outputs[P] as Tensor, extra: outputs.slice(P + 1) };
  });
  const wants_dx = needsGradient(...source.wanted);
  const given = wants_dx && source.givesExtra ? extra : [];
  const isTaped = projections.map(({ lora }) => wants_dx || needsGradient(lora?.A ?? null, lora?.B ?? null));
  const adapters = projections.flatMap(({ lora }) => (lora === null ? [] : [lora.A, lora.B]));
  // One tensor in two places has one sum, which only the tape can add to twice.
  const addsTo = new Set(adapters).size === adapters.length ? adapters : [];
  const kept = source.gradientInputs(extra);
  const backward: Backward = (incoming, before) => {
    const arrived = incoming.values();
    const next = () => arrived.next().value ?? null;
    const dy = isTaped.map((taped) => (taped ? next() : null));
    const tail = source.gradientTail(given.map(next));
    const sums = adapterInputs(projections, (t) => (addsTo.includes(t) ? before(t) : null));
    const inputs = [
      ...kept,
      ...projections.map(({ weight }) => weight),
      ...adapterInputs(projections),
      z,
      ...dy.map((gradient) => gradient ?? none(T.type)),
      ...settings(projections),
      ...sums,
      ...tail,
    ];
    const attributes = { T, P, wants_dx, ...source.attributes };
    const outputs = runMany(`${source.name}Grad`, attributes, inputs, source.numGradients + 2 * P);
    const own = outputs.slice(source.numGradients);
    return [
      ...(wants_dx ? source.gradients(outputs.slice(0, source.numGradients)) : source.wanted.map(() => null)),
      ...projections.flatMap(({ lora }, p) => (lora === null ? [] : [own[p] as Tensor, own[P + p] as Tensor])),
    ];
  };
  record({
    inputs: [...source.wanted, ...adapters],
    outputs: [...y.filter((_, p) => isTaped[p]), ...given],
    saved: [...kept, z, ...projections.map(({ weight }) => weight), ...adapters],
    addsTo,
    backward,
  });
  return { y, extra };
}

function forwardInputs({ inputs }: Source, projections: readonly Projection[]): Tensor[] {
  const { dtype } = inputs[0] as Tensor;
  return [
    ...inputs,
    ...projections.map(({ weight }) => weight),
    ...projections.map(({ bias }) => bias ?? none(dtype)),
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
