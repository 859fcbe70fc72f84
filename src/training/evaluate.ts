// Held-out loss: the mean over all targets of the evaluation samples.
import type { TreeBatch } from '../data/sample.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { sampleLosses } from '../models/sample_losses.ts';

/** Mean −log p of a target, in nats, over all packs. */
export async function heldOutLoss(
  model: CausalLM,
  packs: readonly TreeBatch[],
  onProgress: (share: number) => void,
): Promise<number> {
  const total = packs.reduce((sum, pack) => sum + pack.input_ids.length, 0);
  let [done, lossSum, targets] = [0, 0, 0];
  for (const pack of packs) {
    const losses = await sampleLosses(model, pack, (share) =>
      onProgress((done + share * pack.input_ids.length) / total),
    );
    for (const { loss_sum, num_targets } of losses.values()) {
      lossSum += loss_sum;
      targets += num_targets;
    }
    done += pack.input_ids.length;
  }
  return lossSum / targets;
}
