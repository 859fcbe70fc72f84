// RMS norm with a frozen weight; adds the residual stream on the way.
import { rmsNorm } from '../engine/ops/rms_norm.ts';
import { rmsNormLoraLinear } from '../engine/ops/rms_norm_lora_linear.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Linear } from './linear.ts';

export class RmsNorm {
  /** [C]. */
  readonly weight: Tensor;
  readonly eps: number;

  constructor(weight: Tensor, eps: number) {
    this.weight = weight;
    this.eps = eps;
  }

  /** x, residual [N, C] → the normed sum y and the sum, which goes on as the residual stream. */
  forward(x: Tensor, residual: Tensor | null): { y: Tensor; sum: Tensor } {
    return rmsNorm({ x, residual, weight: this.weight, eps: this.eps });
  }

  /** The same with y through linear layers, [N, out] each. */
  project(
    { x, residual }: { x: Tensor; residual: Tensor | null },
    linears: readonly Linear[],
    dropoutSeed: number | null,
  ): { y: Tensor[]; sum: Tensor } {
    const projections = linears.map((linear) => linear.projection(dropoutSeed));
    return rmsNormLoraLinear({ x, residual, weight: this.weight, eps: this.eps, projections });
  }
}
