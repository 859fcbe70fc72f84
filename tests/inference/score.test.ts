import { beforeAll, describe, expect, it } from 'vitest';
import { createRng } from '../../src/core/rng.ts';
import type { TokenizedSample } from '../../src/data/sample.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors } from '../../src/engine/tensor.ts';
import { type ScoredSample, scoreSamples } from '../../src/inference/score.ts';
import type { CausalLM } from '../../src/models/causal_lm.ts';
import { goldenModel } from '../support/goldens.ts';

let model: CausalLM;

beforeAll(async () => {
  await startEngine();
  model = goldenModel('gqa_tied', { adapter: true });
});

function makeSamples(count: number): TokenizedSample[] {
  const rng = createRng(1, 'score');
  return Array.from({ length: count }, (_, i) => {
    const length = 4 + rng.int(30);
    return {
      input_ids: Int32Array.from({ length }, () => rng.int(150)),
      is_target: Uint8Array.from({ length }, (_, t) => (t > length / 2 ? 1 : 0)),
      role: `role ${i}`,
      question: '',
      question_id: i,
      answer_index: 0,
      row: i + 1,
    };
  });
}

async function score(samples: TokenizedSample[], max_tokens_per_pack: number): Promise<ScoredSample[]> {
  const scored: ScoredSample[] = [];
  for await (const one of scoreSamples(model, samples, { max_tokens_per_pack })) scored.push(one);
  return scored;
}

describe('scoreSamples', () => {
  it('keeps the order and gives each sample its own loss, whatever it is packed with', async () => {
    const samples = makeSamples(17);
    const alone = (await score(samples, 34)).map(({ loss_sum }) => loss_sum);
    for (const limit of [34, 70, 1000]) {
      const scored = await score(samples, limit);
      expect(scored.map(({ sample }) => sample)).toEqual(samples);
      scored.forEach(({ loss_sum, num_targets, sample }, i) => {
        expect(num_targets).toBe(sample.is_target.reduce((a, b) => a + b, 0));
        expect(Math.abs(loss_sum / (alone[i] as number) - 1)).toBeLessThan(1e-5);
      });
    }
  });

  it('reads some hundred samples at a time, not all of them', async () => {
    let taken = 0;
    function* counted(): Generator<TokenizedSample> {
      for (const sample of makeSamples(1000)) {
        taken += 1;
        yield sample;
      }
    }
    for await (const _ of scoreSamples(model, counted(), { max_tokens_per_pack: 40 })) break;
    expect(taken).toBeLessThan(500);
  });

  it('has nothing to say about no samples', async () => {
    expect(await score([], 100)).toEqual([]);
  });

  it('leaves no tensor behind', async () => {
    const before = liveTensors();
    await score(makeSamples(5), 50);
    expect(liveTensors()).toBe(before);
  });

  it('refuses a sample that is longer than the positions of the model', async () => {
    const short = { ...model, max_position_embeddings: 10 };
    const [sample] = makeSamples(1) as [TokenizedSample];
    const long = { ...sample, input_ids: new Int32Array(12), is_target: new Uint8Array(12).fill(1), row: 7 };
    const run = scoreSamples(short, [long], { max_tokens_per_pack: 100 }).next();
    await expect(run).rejects.toThrowErrorMatchingInlineSnapshot(
      `[UserError: data: expected samples of at most the model's 10 tokens, got 11 (role role 0, row 7); lower data.max_seq_length.]`,
    );
  });
});
