// A frozen linear layer that may carry a LoRA adapter.

import { deriveSeed } from '../core/rng.ts';
import type { Projection } from '../engine/ops/lora_projections.ts';
import type { Tensor } from '../engine/tensor.ts';

/** The adapter of one layer; training replaces A and B by their updated successors. */
export interface LoraAdapter {
  /** [R, in] float32. */
  A: Tensor;
  /** [out, R] float32. */
  B: Tensor;
  scaling: number;
  dropout: number;
}

export class Linear {
  /** Module path, equal to the name of its weight in the checkpoint without `.weight`. */
  readonly path: string;
  /** [out, in]. */
  readonly weight: Tensor;
  /** [out] or null. */
  readonly bias: Tensor | null;
  lora: LoraAdapter | null = null;

  constructor(path: string, weight: Tensor, bias: Tensor | null) {
    this.path = path;
    this.weight = weight;
    this.bias = bias;
  }

  /** The arguments of the operation; `dropoutSeed` null switches dropout off. */
  projection(dropoutSeed: number | null): Projection {
    const { weight, bias, lora, path } = this;
    if (lora === null) return { weight, bias, lora: null };
    const active = dropoutSeed !== null && lora.dropout > 0;
    const dropout = active ? { dropout: lora.dropout, seed: deriveSeed(dropoutSeed, path) } : { dropout: 0, seed: 0 };
    return { weight, bias, lora: { A: lora.A, B: lora.B, scaling: lora.scaling, ...dropout } };
  }
}
