// The gated feed-forward layer of a decoder block.
import { loraLinear } from '../engine/ops/lora_linear.ts';
import { swiglu } from '../engine/ops/swiglu.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Linear } from './linear.ts';

export class Mlp {
  readonly projections: { gate_proj: Linear; up_proj: Linear; down_proj: Linear };

  constructor(projections: Mlp['projections']) {
    this.projections = projections;
  }

  /** down(silu(gate x) · up x), [N, C] → [N, C]. */
  forward(x: Tensor, dropoutSeed: number | null): Tensor {
    const { gate_proj, up_proj, down_proj } = this.projections;
    const [gate, up] = loraLinear(
      x,
      [gate_proj, up_proj].map((linear) => linear.projection(dropoutSeed)),
    );
    return down_proj.forward(swiglu({ gate: gate as Tensor, up: up as Tensor }), dropoutSeed);
  }
}
