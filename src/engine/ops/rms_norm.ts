// RMS norm with the residual addition (Zhang and Sennrich, arXiv 1910.07467):
//   sum = x + residual;  rstd = 1 / sqrt(mean(sum²) + eps);  y = sum · rstd · weight
// The weight is frozen. Statistics are float32; for bfloat16 the normalised value is rounded before the weight.
import { needsGradient, record } from '../autograd.ts';
import { none } from '../host_inputs.ts';
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { run, runMany, scope, type Tensor } from '../tensor.ts';
import { check, checkFinite, checkFloat, checkShapes } from './check.ts';

export interface RmsNormArguments {
  /** [N, C] float32 or bfloat16. */
  x: Tensor;
  /** [N, C] to add first, or null. */
  residual: Tensor | null;
  /** [C], same dtype. */
  weight: Tensor;
  eps: number;
}

interface Forward {
  y: Tensor;
  sum: Tensor;
  /** [N] float32. */
  rstd: Tensor;
}

/** y [N, C] and the sum [N, C] that goes on as the residual stream (`x` itself where there is no residual). */
export function rmsNorm(args: RmsNormArguments): { y: Tensor; sum: Tensor } {
  const { x, residual, weight, eps } = args;
  checkRmsNorm('rms_norm', args);
  const wanted = needsGradient(x, residual);
  const compute = hasKernel('RocitRmsNorm') ? forwardKernel : forwardComposition;
  const { y, sum, rstd } = scope(() => compute(x, residual, weight, eps));
  // With no residual the gradient of `sum` is that of `x`, which the tape adds up by itself.
  const outputs = residual === null ? [y] : [y, sum];
  if (wanted) {
    record({
      inputs: residual === null ? [x] : [x, residual],
      outputs,
      saved: [sum, rstd, weight],
      backward: ([dy, dsum]) => {
        const grad = hasKernel('RocitRmsNormGrad') ? gradientKernel : gradientComposition;
        const dx = dy ? grad(dy, dsum ?? null, { sum, rstd, weight }) : (dsum ?? null);
        return residual === null ? [dx] : [dx, dx];
      },
    });
  }
  return { y, sum };
}

export function checkRmsNorm(op: string, { x, residual, weight, eps }: RmsNormArguments): void {
  checkShapes(op, {
    x: [x, 'N', 'C'],
    ...(residual && { residual: [residual, 'N', 'C'] }),
    weight: [weight, 'C'],
  });
  checkFloat(op, { x, residual, weight });
  checkFinite(op, { eps });
  check(op, eps >= 0, () => `expected eps >= 0, got ${eps}`);
}

function forwardKernel(x: Tensor, residual: Tensor | null, weight: Tensor, eps: number): Forward {
  const attributes = { T: { type: x.dtype }, eps: { float: eps } };
  const [y, sum, rstd] = runMany('RocitRmsNorm', attributes, [x, residual ?? none(x.dtype), weight], 3) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  return { y, sum: residual === null ? x : sum, rstd };
}

function forwardComposition(x: Tensor, residual: Tensor | null, weight: Tensor, eps: number): Forward {
  const sum = residual === null ? x : p.add(x, residual);
  const wide = p.cast(sum, 'float32');
  const rstd = p.rsqrt(p.add(p.mean(p.square(wide), [1], true), eps));
  const y = p.mul(p.cast(p.mul(wide, rstd), x.dtype), weight);
  return { y, sum, rstd: p.reshape(rstd, [x.shape[0] as number]) };
}

function gradientKernel(dy: Tensor, dsum: Tensor | null, saved: Omit<Forward, 'y'> & { weight: Tensor }): Tensor {
  const inputs = [dy, dsum ?? none(dy.dtype), saved.sum, saved.weight, saved.rstd];
  return run('RocitRmsNormGrad', { T: { type: dy.dtype } }, inputs);
}

// With h = sum · rstd and g = dy · weight:  dx = dsum + rstd · (g − h · mean(g · h))
function gradientComposition(dy: Tensor, dsum: Tensor | null, saved: Omit<Forward, 'y'> & { weight: Tensor }): Tensor {
  const rstd = p.reshape(saved.rstd, [dy.shape[0] as number, 1]);
  const h = p.mul(p.cast(saved.sum, 'float32'), rstd);
  const g = p.cast(p.mul(dy, saved.weight), 'float32');
  const dx = p.mul(rstd, p.sub(g, p.mul(h, p.mean(p.mul(g, h), [1], true))));
  return p.cast(dsum === null ? dx : p.add(dx, p.cast(dsum, 'float32')), dy.dtype);
}
