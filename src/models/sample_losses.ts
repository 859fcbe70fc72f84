// Losses of single samples in a pack of many: what held-out evaluation and `rocit score` are made of.
import { linearCrossEntropy } from '../engine/ops/linear_cross_entropy.ts';
import { readFloats, scopeAsync } from '../engine/tensor.ts';
import type { CausalLM, Pack } from './causal_lm.ts';

/** A pack with its loss edges: row edge_rows[e] predicts edge_targets[e] for sample edge_samples[e]. */
export interface LossPack extends Pack {
  /** [E]. */
  edge_rows: Int32Array;
  /** [E]. */
  edge_targets: Int32Array;
  /** [E], index of the sample in the list that was packed. */
  edge_samples: Int32Array;
}

export interface SampleLoss {
  /** Σ −log p(target) in nats, summed in float64. */
  loss_sum: number;
  num_targets: number;
}

/** Enough for the samples of a role to share its beginning and to fill packs, few enough to wait for and for any split. */
const WINDOW = 256;

/** Lists of neighbours that are packed together. */
export function* inWindows<T>(samples: Iterable<T>): Generator<T[]> {
  let window: T[] = [];
  for (const sample of samples) {
    if (window.push(sample) < WINDOW) continue;
    yield window;
    window = [];
  }
  if (window.length > 0) yield window;
}

/**
 * The losses of the pack's samples by their index in the list that was packed. Runs without dropout and frees all it
 * made.
 */
export async function sampleLosses(
  model: CausalLM,
  pack: LossPack,
  onProgress: (share: number) => void = () => {},
): Promise<Map<number, SampleLoss>> {
  const { edge_rows, edge_targets, edge_samples } = pack;
  const edgeLosses = await scopeAsync(async () => {
    const x = await model.forward(pack, { recompute: 'none', dropoutSeed: null, onProgress });
    const edge_weights = new Float32Array(edge_rows.length).fill(1);
    const args = { x, weight: model.headWeight, edge_rows, edge_targets, edge_weights };
    return readFloats(linearCrossEntropy(args).edge_losses);
  });
  const losses = new Map<number, SampleLoss>();
  edgeLosses.forEach((loss, edge) => {
    const index = edge_samples[edge] as number;
    const { loss_sum, num_targets } = losses.get(index) ?? { loss_sum: 0, num_targets: 0 };
    losses.set(index, { loss_sum: loss_sum + loss, num_targets: num_targets + 1 });
  });
  return losses;
}
