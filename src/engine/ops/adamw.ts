// AdamW (Loshchilov and Hutter, arXiv 1711.05101) over all trainable tensors in one call, with clipping by the global
// norm. Purely functional: parameters and state come back as new tensors, so no alias of the old ones ever changes and
// a step that went wrong is undone by forgetting its results.
import { floatBits } from '../host_inputs.ts';
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { readFloats, runMany, scope, type Tensor } from '../tensor.ts';
import { check, checkFinite, checkShapes } from './check.ts';

export interface AdamwArguments {
  /** Float32 tensors of any shape; grads, m and v match them one by one. */
  params: readonly Tensor[];
  grads: readonly Tensor[];
  m: readonly Tensor[];
  v: readonly Tensor[];
  learning_rate: number;
  betas: readonly [number, number];
  eps: number;
  weight_decay: number;
  /** Upper bound of the global gradient norm; 0 does not clip. */
  max_grad_norm: number;
  /** 1 in the first step. */
  step: number;
  /** Multiplies the gradients first, e.g. one over the number of targets. */
  grad_scale: number;
}

export interface AdamwResult {
  params: Tensor[];
  m: Tensor[];
  v: Tensor[];
  /** Global norm of the scaled gradients before clipping. */
  grad_norm: number;
  /** Index of the first tensor with a gradient that is not finite, or null. The results then equal the arguments. */
  nonFinite: number | null;
}

export function adamw(args: AdamwArguments): AdamwResult {
  const { params, grads, m, v } = args;
  check(
    'adamw',
    params.length > 0 && [grads, m, v].every((list) => list.length === params.length),
    () => `expected one gradient, m and v for each parameter, got ${[params, grads, m, v].map((list) => list.length)}`,
  );
  checkSettings(args);
  // The usual case first: a model has hundreds of adapters, and a step should not spell out what is right with each.
  const fits = (t: Tensor, { shape }: Tensor) =>
    t.dtype === 'float32' && t.shape.length === shape.length && t.shape.every((n, d) => n === shape[d]);
  params.forEach((param, i) => {
    if ([param, grads[i], m[i], v[i]].every((t) => fits(t as Tensor, param))) return;
    for (const [name, t] of Object.entries({ param, grad: grads[i], m: m[i], v: v[i] }) as [string, Tensor][]) {
      checkShapes('adamw', { [`${name} ${i}`]: [t, ...param.shape] });
      check('adamw', t.dtype === 'float32', () => `expected float32 in ${name} ${i}, got ${t.dtype}`);
    }
  });
  return scope(() => (hasKernel('RocitAdamw') ? kernel(args) : composition(args)));
}

function checkSettings(args: AdamwArguments): void {
  const { learning_rate, betas, eps, weight_decay, max_grad_norm, step, grad_scale } = args;
  checkFinite('adamw', { learning_rate, eps, weight_decay, max_grad_norm, step, grad_scale });
  check('adamw', eps >= 0, () => `expected eps >= 0, got ${eps}`);
  check(
    'adamw',
    betas.every((beta) => beta >= 0 && Math.fround(beta) < 1) && step >= 1,
    () => `expected betas in [0, 1) and a step from 1, got ${betas.join(', ')} and step ${step}`,
  );
}

function kernel(args: AdamwArguments): AdamwResult {
  const { params, learning_rate, betas, eps, weight_decay, max_grad_norm, step, grad_scale } = args;
  const N = params.length;
  const corrections = betas.map((beta) => 1 - beta ** step);
  const hyper = [learning_rate, ...betas, eps, weight_decay, max_grad_norm, grad_scale, ...corrections];
  const inputs = [...params, ...args.grads, ...args.m, ...args.v, floatBits(Float32Array.from(hyper), [9])];
  const outputs = runMany('RocitAdamw', { N }, inputs, 3 * N + 1);
  const [grad_norm = 0, bad = -1] = readFloats(outputs[3 * N] as Tensor);
  return {
    params: outputs.slice(0, N),
    m: outputs.slice(N, 2 * N),
    v: outputs.slice(2 * N, 3 * N),
    grad_norm,
    nonFinite: bad < 0 ? null : bad,
  };
}

function composition(args: AdamwArguments): AdamwResult {
  const squares = args.grads.map(
    (g) =>
      readFloats(
        scope(() =>
          p.reshape(
            p.sum(
              p.square(g),
              g.shape.map((_, i) => i),
              false,
            ),
            [1],
          ),
        ),
      )[0] as number,
  );
  const grad_norm = Math.sqrt(squares.reduce((a, b) => a + b, 0)) * args.grad_scale;
  const bad = squares.findIndex((square) => !Number.isFinite(square));
  if (bad >= 0 || !Number.isFinite(grad_norm)) {
    const [params, m, v] = [args.params, args.m, args.v].map((list) => list.map(p.identity)) as [
      Tensor[],
      Tensor[],
      Tensor[],
    ];
    return { params, m, v, grad_norm, nonFinite: Math.max(bad, 0) };
  }
  // As torch.nn.utils.clip_grad_norm_, which keeps 1e-6 from a norm of zero.
  const clip = args.max_grad_norm > 0 ? Math.min(1, args.max_grad_norm / (grad_norm + 1e-6)) : 1;
  const updated = args.params.map((_, i) => scope(() => update(args, i, clip * args.grad_scale)));
  return {
    params: updated.map((u) => u.param),
    m: updated.map((u) => u.m),
    v: updated.map((u) => u.v),
    grad_norm,
    nonFinite: null,
  };
}

function update(args: AdamwArguments, i: number, scale: number): { param: Tensor; m: Tensor; v: Tensor } {
  const {
    betas: [beta1, beta2],
    learning_rate,
    step,
  } = args;
  const g = p.mul(args.grads[i] as Tensor, scale);
  const m = p.add(p.mul(args.m[i] as Tensor, beta1), p.mul(g, 1 - beta1));
  const v = p.add(p.mul(args.v[i] as Tensor, beta2), p.mul(p.square(g), 1 - beta2));
  const denominator = p.add(p.div(p.sqrt(v), Math.sqrt(1 - beta2 ** step)), args.eps);
  const decayed = p.mul(args.params[i] as Tensor, 1 - learning_rate * args.weight_decay);
  const moved = p.mul(p.div(m, denominator), learning_rate / (1 - beta1 ** step));
  return { param: p.sub(decayed, moved), m, v };
}
