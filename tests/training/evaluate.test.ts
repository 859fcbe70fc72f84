import { beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors } from '../../src/engine/tensor.ts';
import { sampleLosses } from '../../src/models/sample_losses.ts';
import { evaluationWindows, heldOutLoss } from '../../src/training/evaluate.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { splitOf } from './splits.ts';
import { adaptedModel, madeUpSamples, packsOf } from './tiny_packs.ts';

const folder = temporaryFolder();
beforeAll(async () => {
  await startEngine();
});

describe('evaluationWindows', () => {
  it('takes every sample once, those of a role and of a question together', () => {
    const samples = madeUpSamples(300).map((sample, i) => ({ ...sample, role: `role ${i % 7}`, question_id: i % 70 }));
    const order = [...evaluationWindows(splitOf(samples))].flat();
    expect(order.map(({ row }) => row).toSorted((a, b) => a - b)).toEqual(samples.map(({ row }) => row));
    const changes = (key: 'role' | 'question_id') =>
      order.filter((one, i) => i > 0 && one[key] !== order[i - 1]?.[key]).length;
    expect([changes('role'), changes('question_id')]).toEqual([6, 69]);
  });
});

describe('heldOutLoss', () => {
  /** Every third begins as the one before it. */
  const apart = madeUpSamples(150);
  const samples = apart.map((sample, i) => {
    if (i % 3 !== 2) return sample;
    const input_ids = sample.input_ids.map((id, t) => (t < 6 ? (apart[i - 1]?.input_ids[t] ?? id) : id));
    return { ...sample, input_ids, weight: 0.5 };
  });
  const split = splitOf(samples);

  it.each(['tree' as const, 'sequence' as const])(
    'is the mean over all targets of the split, packed as %s, without weights and dropout',
    async (strategy) => {
      const model = adaptedModel(folder, { lora_dropout: 0.5 });
      let [sum, targets] = [0, 0];
      for (const pack of packsOf(samples, 'none')) {
        for (const { loss_sum, num_targets } of (await sampleLosses(model, pack)).values()) {
          sum += loss_sum;
          targets += num_targets;
        }
      }
      const settings = { strategy, max_tokens_per_pack: 200 };
      const live = liveTensors();
      const shares: number[] = [];
      const loss = await heldOutLoss(model, split, settings, (share) => shares.push(share));
      expect(loss).toBeCloseTo(sum / targets, 5);
      expect(liveTensors()).toBe(live);
      expect(shares).toEqual(shares.toSorted((a, b) => a - b));
      expect(shares.at(-1)).toBeCloseTo(1, 9);
    },
  );
});
