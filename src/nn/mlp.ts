// The gated feed-forward layer of a decoder block.
import { swigluLoraLinear } from '../engine/ops/swiglu_lora_linear.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Linear } from './linear.ts';

export class Mlp {
  readonly projections: { gate_proj: Linear; up_proj: Linear; down_proj: Linear };

  constructor(projections: Mlp['projections']) {
    this.projections = projections;
  }

  /** The layers that take the normed input; `forward` takes their outputs. */
  get inputs(): Linear[] {
    return [this.projections.gate_proj, this.projections.up_proj];
  }

  /** down(silu(gate) · up), [N, F] each → [N, C]. */
  forward([gate, up]: readonly Tensor[], dropoutSeed: number | null): Tensor {
    const projections = [this.projections.down_proj.projection(dropoutSeed)];
    return swigluLoraLinear({ gate: gate as Tensor, up: up as Tensor, projections })[0] as Tensor;
  }
}
