// Self-attention of a decoder block over a pack: one pass for q, k and v, rotation, tree attention, output projection.
import { rope } from '../engine/ops/rope.ts';
import { treeAttentionLoraLinear } from '../engine/ops/tree_attention_lora_linear.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Linear } from './linear.ts';

export interface AttentionShape {
  num_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  inv_freq: Float32Array;
  interleaved: boolean;
}

/** What all blocks of a forward share. */
export interface PackContext {
  /** [N]. */
  position_ids: Int32Array;
  /** [S], S = query_start + N. */
  subtree_end: Int32Array;
  query_start: number;
  /** Null switches dropout off. */
  dropoutSeed: number | null;
  /** Keys and values [S, K · D] of a layer after these new rows [N, K · D] joined the cached ones; null: no cache. */
  extendCache: ((layer: number, k: Tensor, v: Tensor) => { k: Tensor; v: Tensor }) | null;
}

export class Attention {
  readonly layer: number;
  readonly projections: { q_proj: Linear; k_proj: Linear; v_proj: Linear; o_proj: Linear };
  readonly shape: AttentionShape;

  constructor(layer: number, projections: Attention['projections'], shape: AttentionShape) {
    this.layer = layer;
    this.projections = projections;
    this.shape = shape;
  }

  /** The layers that take the normed input; `forward` takes their outputs. */
  get inputs(): Linear[] {
    return [this.projections.q_proj, this.projections.k_proj, this.projections.v_proj];
  }

  /** q [N, H · D], k and v [N, K · D] → [N, C]. */
  forward([q, k, v]: readonly Tensor[], context: PackContext): Tensor {
    const { position_ids } = context;
    const { num_heads, num_key_value_heads, head_dim } = this.shape;
    const [turnedQ, turnedK] = rope({ ...this.shape, x: [q as Tensor, k as Tensor], position_ids });
    const keys = { k: turnedK as Tensor, v: v as Tensor };
    const { subtree_end, query_start } = context;
    const [out] = treeAttentionLoraLinear({
      q: turnedQ as Tensor,
      ...(context.extendCache?.(this.layer, keys.k, keys.v) ?? keys),
      num_heads,
      num_key_value_heads,
      subtree_end,
      query_start,
      scale: 1 / Math.sqrt(head_dim),
      projections: [this.projections.o_proj.projection(context.dropoutSeed)],
    });
    return out as Tensor;
  }
}
