// swiglu and lora_linear in one operation: the gated rows are made again for the gradient, so nobody keeps them.
//   y of each projection is that of silu(gate) · up
import type { Tensor } from '../tensor.ts';
import { loraLinear } from './lora_linear.ts';
import { checkProjection, hasProjectionKernel, type Projection, projectByKernel } from './lora_projections.ts';
import { checkSwiglu, type SwigluArguments, swiglu } from './swiglu.ts';

const NAME = 'RocitSwigluLoraLinear';

export interface GatedProjectionsArguments extends SwigluArguments {
  projections: readonly Projection[];
}

/** y [N, out] of each projection. */
export function swigluLoraLinear(args: GatedProjectionsArguments): Tensor[] {
  const { gate, up, projections } = args;
  const op = 'swiglu_lora_linear';
  checkSwiglu(op, args);
  for (const projection of projections) checkProjection(op, gate, projection);
  if (!hasProjectionKernel(NAME, projections)) return loraLinear(swiglu(args), projections);
  const both = [gate, up];
  const source = {
    name: NAME,
    attributes: {},
    inputs: both,
    wanted: both,
    numExtra: 0,
    givesExtra: false,
    gradientInputs: () => both,
    gradientTail: () => [],
    numGradients: 2,
    gradients: (first: readonly Tensor[]) => [...first],
  };
  return projectByKernel(source, projections).y;
}
