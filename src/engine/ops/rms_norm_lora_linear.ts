// rms_norm and lora_linear in one operation: the normed rows are made again for the gradient, so nobody keeps them.
//   sum = x + residual;  y of each projection is that of rms_norm(sum)
import { none } from '../host_inputs.ts';
import type { Tensor } from '../tensor.ts';
import { loraLinear } from './lora_linear.ts';
import { checkProjection, hasProjectionKernel, type Projection, projectByKernel } from './lora_projections.ts';
import { checkRmsNorm, type RmsNormArguments, rmsNorm } from './rms_norm.ts';

const NAME = 'RocitRmsNormLoraLinear';

export interface NormedProjectionsArguments extends RmsNormArguments {
  projections: readonly Projection[];
}

/** y [N, out] of each projection and the sum [N, C], `x` itself where there is no residual. */
export function rmsNormLoraLinear(args: NormedProjectionsArguments): { y: Tensor[]; sum: Tensor } {
  const { x, residual, weight, eps, projections } = args;
  const op = 'rms_norm_lora_linear';
  checkRmsNorm(op, args);
  for (const projection of projections) checkProjection(op, x, projection);
  if (!hasProjectionKernel(NAME, projections)) {
    const normed = rmsNorm(args);
    return { y: loraLinear(normed.y, projections), sum: normed.sum };
  }
  const summed = residual === null ? [x] : [x, residual];
  const { y, extra } = projectByKernel(
    {
      name: NAME,
      attributes: { eps: { float: eps } },
      inputs: [x, residual ?? none(x.dtype), weight],
      wanted: summed,
      numExtra: 1,
      givesExtra: true,
      gradientInputs: ([sum]) => [residual === null ? x : (sum as Tensor), weight],
      gradientTail: ([dsum]) => [dsum ?? none(x.dtype)],
      numGradients: 1,
      gradients: ([dx]) => summed.map(() => dx as Tensor),
    },
    projections,
  );
  return { y, sum: residual === null ? x : (extra[0] as Tensor) };
}
