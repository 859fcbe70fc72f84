// Held-out loss: the mean over all targets of the evaluation samples.
import { type PackSettings, packStep } from '../data/pack.ts';
import type { PreparedSplit } from '../data/prepared.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { sampleLosses } from '../models/sample_losses.ts';

/** Samples packed together at a time: enough to fill packs, few enough for any size of split. */
const WINDOW = 256;

/** Mean −log p of a target, in nats, over all samples of a split. */
export async function heldOutLoss(
  model: CausalLM,
  split: PreparedSplit,
  packing: PackSettings,
  onProgress: (share: number) => void,
): Promise<number> {
  const total = split.stats.tokens - split.numSamples;
  let [done, lossSum, targets] = [0, 0, 0];
  for (let begin = 0; begin < split.numSamples; begin += WINDOW) {
    const length = Math.min(WINDOW, split.numSamples - begin);
    const samples = Array.from({ length }, (_, i) => split.sample(begin + i));
    for (const pack of packStep(samples, packing)) {
      const tokens = pack.input_ids.length;
      const losses = await sampleLosses(model, pack, (share) => onProgress((done + share * tokens) / total));
      for (const { loss_sum, num_targets } of losses.values()) {
        lossSum += loss_sum;
        targets += num_targets;
      }
      done += tokens;
    }
  }
  return lossSum / targets;
}
