import { beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors } from '../../src/engine/tensor.ts';
import { sampleLosses } from '../../src/models/sample_losses.ts';
import { heldOutLoss } from '../../src/training/evaluate.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { splitOf } from './splits.ts';
import { adaptedModel, madeUpSamples, packsOf } from './tiny_packs.ts';

const folder = temporaryFolder();
beforeAll(async () => {
  await startEngine();
});

describe('heldOutLoss', () => {
  const samples = madeUpSamples(300);
  const split = splitOf(samples);

  it('is the mean over all targets of the split, however it is packed, without dropout', async () => {
    const model = adaptedModel(folder, { lora_dropout: 0.5 });
    let [sum, targets] = [0, 0];
    for (const pack of packsOf(samples, 'none')) {
      for (const { loss_sum, num_targets } of (await sampleLosses(model, pack)).values()) {
        sum += loss_sum;
        targets += num_targets;
      }
    }
    const settings = { strategy: 'sequence', max_tokens_per_pack: 200 } as const;
    const live = liveTensors();
    const shares: number[] = [];
    const loss = await heldOutLoss(model, split, settings, (share) => shares.push(share));
    expect(loss).toBeCloseTo(sum / targets, 5);
    expect(liveTensors()).toBe(live);
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    expect(shares.at(-1)).toBeCloseTo(1, 9);
  });
});
