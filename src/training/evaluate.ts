// Held-out loss: the mean over all targets of the evaluation samples.
import { type PackSettings, packStep } from '../data/pack.ts';
import type { PreparedSplit } from '../data/prepared.ts';
import type { TokenizedSample } from '../data/sample.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { inWindows, sampleLosses } from '../models/sample_losses.ts';

/** The samples of a split, each role's and each question's together, in lists that are packed one at a time. */
export function* evaluationWindows(split: PreparedSplit): Generator<TokenizedSample[]> {
  const { roleIds, questionIds } = split;
  const order = Array.from({ length: split.numSamples }, (_, i) => i);
  const compare = (ids: Int32Array, a: number, b: number) => (ids[a] as number) - (ids[b] as number);
  order.sort((a, b) => compare(roleIds, a, b) || compare(questionIds, a, b) || a - b);
  for (const window of inWindows(order)) yield window.map((i) => split.sample(i));
}

/** Mean −log p of a target, in nats, over all samples of a split; every target weighs the same. */
export async function heldOutLoss(
  model: CausalLM,
  split: PreparedSplit,
  packing: PackSettings,
  onProgress: (share: number) => void,
): Promise<number> {
  let [done, lossSum, targets] = [0, 0, 0];
  for (const samples of evaluationWindows(split)) {
    for (const pack of packStep(samples, packing)) {
      const { num_samples } = pack;
      const report = (share: number) => onProgress((done + share * num_samples) / split.numSamples);
      for (const { loss_sum, num_targets } of (await sampleLosses(model, pack, report)).values()) {
        lossSum += loss_sum;
        targets += num_targets;
      }
      done += num_samples;
    }
  }
  return lossSum / targets;
}
