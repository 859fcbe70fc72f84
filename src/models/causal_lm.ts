// What training and inference know of a model, whatever its family.
import type { Tensor } from '../engine/tensor.ts';
import type { PackContext } from '../nn/attention.ts';
import type { Linear } from '../nn/linear.ts';

/** Tokens of one forward: a pack of sequences or prefix trees. */
export interface Pack {
  /** [N]. */
  input_ids: Int32Array;
  /** [N], depth in the tree. */
  position_ids: Int32Array;
  /** [S], S = query_start + N. */
  subtree_end: Int32Array;
}

export interface ForwardOptions {
  /** `block` computes each block again in the backward instead of keeping its activations. */
  recompute: 'none' | 'block';
  /** Seed of the dropout masks of this forward; null for evaluation. */
  dropoutSeed: number | null;
  /** Cached keys before the pack. */
  cache?: { query_start: number; extend: NonNullable<PackContext['extendCache']> };
  /** Share of the blocks done, in [0, 1]. */
  onProgress?: (share: number) => void;
}

export interface CausalLM {
  readonly max_position_embeddings: number;
  readonly num_hidden_layers: number;
  /** Every linear layer that may carry an adapter, by module path. */
  readonly linears: ReadonlyMap<string, Linear>;
  /** All frozen tensors. */
  readonly weights: readonly Tensor[];
  /** The output head [V, C]. */
  readonly headWeight: Tensor;
  /** Hidden states after the final norm, [N, C]. Breathes between blocks. */
  forward(pack: Pack, options: ForwardOptions): Promise<Tensor>;
}
