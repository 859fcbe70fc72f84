// RMS norm with a frozen weight; adds the residual stream on the way.
import { rmsNorm } from '../engine/ops/rms_norm.ts';
import type { Tensor } from '../engine/tensor.ts';

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
}
