// Rotary position embedding (Su et al., arXiv 2104.09864) over the first `rotary_dim` channels of each head; the rest
// passes through. Pairs are (i, i + rotary_dim / 2), as Hugging Face LLaMA has them, or interleaved (2i, 2i + 1), as
// ChatGLM2. Backward is the inverse rotation. Angles, sines and products are float32.
import { needsGradient, record } from '../autograd.ts';
import { constant } from '../host_inputs.ts';
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { runMany, scope, type Tensor, tensor } from '../tensor.ts';
import { check, checkFloat, checkShapes } from './check.ts';

export interface RopeArguments {
  /** [N, heads · head_dim] each: queries and keys. */
  x: readonly Tensor[];
  head_dim: number;
  /** [N], the angle of pair i is position · inv_freq[i]. */
  position_ids: Int32Array;
  /** rotary_dim / 2 values. */
  inv_freq: Float32Array;
  interleaved: boolean;
}

/** What RocitRope takes at once. */
const MOST_TENSORS = 2;

/** The rotated heads, in the shapes of `x`. */
export function rope(args: RopeArguments): Tensor[] {
  const { x } = args;
  checkArguments(args);
  const y = scope(() => rotate(x, args, 1));
  if (needsGradient(...x)) record({ inputs: x, outputs: y, saved: [], backward: (dy) => rotateArrived(dy, args) });
  return y;
}

function checkArguments({ x, head_dim, position_ids, inv_freq }: RopeArguments): void {
  const op = 'rope';
  check(op, x.length > 0 && x.length <= MOST_TENSORS, () => `expected 1 to ${MOST_TENSORS} tensors, got ${x.length}`);
  check(op, Number.isInteger(head_dim) && head_dim > 0, () => `expected a head_dim from 1, got ${head_dim}`);
  const rotaryDim = 2 * inv_freq.length;
  const named = x.map((t, i): [string, Tensor] => [`x[${i}]`, t]);
  for (const [name, t] of named) {
    const { W = 0 } = checkShapes(op, { [name]: [t, position_ids.length, 'W'] });
    check(
      op,
      W % head_dim === 0 && rotaryDim <= head_dim,
      () =>
        `expected head_dim ${head_dim} to divide the width and to hold ${rotaryDim} rotated channels, got width ${W}`,
    );
  }
  checkFloat(op, Object.fromEntries(named));
}

function rotateArrived(dy: readonly (Tensor | null)[], args: RopeArguments): (Tensor | null)[] {
  const arrived = dy.filter((gradient) => gradient !== null);
  const turned = rotate(arrived, args, -1).values();
  return dy.map((gradient) => (gradient === null ? null : (turned.next().value as Tensor)));
}

function rotate(x: readonly Tensor[], args: RopeArguments, direction: 1 | -1): Tensor[] {
  return hasKernel('RocitRope') ? kernel(x, args, direction) : x.map((one) => composition(one, args, direction));
}

function kernel(
  x: readonly Tensor[],
  { head_dim, position_ids, inv_freq, interleaved }: RopeArguments,
  direction: 1 | -1,
): Tensor[] {
  const T = { type: (x[0] as Tensor).dtype };
  const inputs = [...x, constant(position_ids), constant(inv_freq)];
  return runMany('RocitRope', { T, P: x.length, head_dim, interleaved, direction }, inputs, x.length);
}

function composition(
  x: Tensor,
  { head_dim, position_ids, inv_freq, interleaved }: RopeArguments,
  direction: 1 | -1,
): Tensor {
  const [N = 0, width = 0] = x.shape;
  const H = width / head_dim;
  const half = inv_freq.length;
  const position = tensor(Float32Array.from(position_ids), [N, 1]);
  const angles = p.reshape(p.mul(position, tensor(inv_freq, [1, half])), [N, 1, half]);
  const cos = p.cos(angles);
  const sin = direction === 1 ? p.sin(angles) : p.mul(p.sin(angles), -1);
  const heads = p.reshape(p.cast(x, 'float32'), [N, H, head_dim]);
  const [a, b] = pairs(heads, half, interleaved);
  const turnedA = p.sub(p.mul(a, cos), p.mul(b, sin));
  const turnedB = p.add(p.mul(b, cos), p.mul(a, sin));
  const parts = interleaved ? [interleave(turnedA, turnedB)] : [turnedA, turnedB];
  if (2 * half < head_dim) parts.push(p.slice(heads, [0, 0, 2 * half], [N, H, head_dim - 2 * half]));
  return p.cast(p.reshape(p.concat(parts, 2), [N, width]), x.dtype);
}

/** The first and second members of all pairs, [N, H, half] each. */
function pairs(heads: Tensor, half: number, interleaved: boolean): [Tensor, Tensor] {
  const [N = 0, H = 0] = heads.shape;
  if (!interleaved) return [p.slice(heads, [0, 0, 0], [N, H, half]), p.slice(heads, [0, 0, half], [N, H, half])];
  const rotary = p.reshape(p.slice(heads, [0, 0, 0], [N, H, 2 * half]), [N, H, half, 2]);
  const member = (i: number) => p.reshape(p.slice(rotary, [0, 0, 0, i], [N, H, half, 1]), [N, H, half]);
  return [member(0), member(1)];
}

function interleave(a: Tensor, b: Tensor): Tensor {
  const [N = 0, H = 0, half = 0] = a.shape;
  const column = (t: Tensor) => p.reshape(t, [N, H, half, 1]);
  return p.reshape(p.concat([column(a), column(b)], 3), [N, H, 2 * half]);
}
