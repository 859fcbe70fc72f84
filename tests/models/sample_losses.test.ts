import { beforeAll, describe, expect, it } from 'vitest';
import { packStep } from '../../src/data/pack.ts';
import type { TokenizedSample } from '../../src/data/sample.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors } from '../../src/engine/tensor.ts';
import { inWindows, sampleLosses } from '../../src/models/sample_losses.ts';
import { goldenJson, goldenModel } from '../support/goldens.ts';

interface Golden {
  batch: { input_ids: number[]; is_target: number[] }[];
  sample_losses: number[];
  sample_losses_base: number[];
}

const CASES = ['gqa_tied', 'mha_untied', 'bias', 'rslora'];

function samplesOf({ batch }: Golden): TokenizedSample[] {
  return batch.map(({ input_ids, is_target }, i) => ({
    input_ids: Int32Array.from(input_ids),
    is_target: Uint8Array.from(is_target),
    role: 'role',
    question: 'question',
    question_id: i,
    answer_index: 0,
    row: i + 1,
  }));
}

beforeAll(async () => {
  await startEngine();
});

describe('inWindows', () => {
  it.each([0, 1, 256, 257, 1000])('gives %i samples in their order, all lists but the last of one length', (count) => {
    const samples = Array.from({ length: count }, (_, i) => i);
    const windows = [...inWindows(samples)];
    expect(windows.flat()).toEqual(samples);
    expect(new Set(windows.slice(0, -1).map(({ length }) => length)).size).toBeLessThanOrEqual(1);
    for (const { length } of windows) expect(length).toBeGreaterThan(0);
  });

  it('reads no further than the list it gives', () => {
    let read = 0;
    const endless = (function* () {
      for (;;) yield read++;
    })();
    const { value } = inWindows(endless).next();
    expect(value?.length).toBe(read);
    expect(read).toBeLessThan(1000);
  });
});

describe('sampleLosses', () => {
  it.each(CASES.flatMap((name) => [[name, true] as const, [name, false] as const]))(
    "gives PEFT's loss of each sample: %s, adapter %s",
    async (name, adapter) => {
      const golden = goldenJson(`llama_${name}`, 'golden.json') as Golden;
      const model = goldenModel(name, { adapter });
      const [pack] = packStep(samplesOf(golden), { strategy: 'sequence', max_tokens_per_pack: 100 });
      if (pack === undefined) throw new Error('nothing was packed');
      const losses = await sampleLosses(model, pack);
      const expected = adapter ? golden.sample_losses : golden.sample_losses_base;
      expect(losses.size).toBe(expected.length);
      expected.forEach((loss, i) => {
        const found = losses.get(i);
        expect(found?.num_targets).toBe(golden.batch[i]?.is_target.reduce((a, b) => a + b, 0));
        expect(Math.abs((found?.loss_sum ?? 0) / loss - 1)).toBeLessThan(1e-5);
      });
    },
  );

  it('frees all it made and reports progress up to 1', async () => {
    const golden = goldenJson('llama_gqa_tied', 'golden.json') as Golden;
    const model = goldenModel('gqa_tied', { adapter: true });
    const [pack] = packStep(samplesOf(golden), { strategy: 'sequence', max_tokens_per_pack: 100 });
    if (pack === undefined) throw new Error('nothing was packed');
    const before = liveTensors();
    const shares: number[] = [];
    await sampleLosses(model, pack, (share) => shares.push(share));
    expect(liveTensors()).toBe(before);
    expect(shares).toEqual([0.5, 1]);
  });
});
