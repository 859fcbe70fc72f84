// The loss of each sample of a pack under a model, without gradients: what held-out evaluation and scoring are made of.
import { linearCrossEntropy } from '../engine/ops/linear_cross_entropy.ts';
import { readFloats, scopeAsync } from '../engine/tensor.ts';
import type { CausalLM, Pack } from './causal_lm.ts';

/** A pack with its loss edges. */
export interface ScoredPack extends Pack {
  /** [E] */
  edge_rows: Int32Array;
  /** [E] */
  edge_targets: Int32Array;
  /** [E] */
  edge_weights: Float32Array;
  /** [E], which sample an edge belongs to. */
  edge_samples: Int32Array;
}

export interface SampleLoss {
  /** Sum over the sample's targets of −log p, in nats. */
  loss_sum: number;
  num_targets: number;
}

/** Losses by sample index as in `edge_samples`. */
export async function sampleLosses(
  model: CausalLM,
  pack: ScoredPack,
  onProgress?: (share: number) => void,
): Promise<Map<number, SampleLoss>> {
  const edgeLosses = await scopeAsync(async () => {
    const x = await model.forward(pack, { recompute: 'none', dropoutSeed: null, ...(onProgress && { onProgress }) });
    return readFloats(linearCrossEntropy({ ...pack, x, weight: model.headWeight }).edge_losses);
  });
  const losses = new Map<number, SampleLoss>();
  pack.edge_samples.forEach((sample, edge) => {
    const entry = losses.get(sample) ?? { loss_sum: 0, num_targets: 0 };
    entry.loss_sum += edgeLosses[edge] as number;
    entry.num_targets += 1;
    losses.set(sample, entry);
  });
  return losses;
}
