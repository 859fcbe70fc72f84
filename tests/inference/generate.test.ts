import { beforeAll, describe, expect, it } from 'vitest';
import { matMul } from '../../src/engine/primitives.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { liveTensors, readFloats, scopeAsync } from '../../src/engine/tensor.ts';
import { type GenerateSettings, generate } from '../../src/inference/generate.ts';
import { argmax } from '../../src/inference/sampling.ts';
import type { CausalLM } from '../../src/models/causal_lm.ts';
import { goldenJson, goldenModel } from '../support/goldens.ts';

interface Answer {
  case: string;
  adapter: boolean;
  prompt: number[];
  new_ids: number[];
}

const END = 2;
const GREEDY: GenerateSettings = {
  temperature: 0,
  top_p: 1,
  max_new_tokens: 24,
  seed: 0,
  stop_ids: new Set([END]),
};
const { answers } = goldenJson('generate.json') as { answers: Answer[] };
const groups = new Map<string, Answer[]>();
for (const row of answers) {
  const name = `${row.case}${row.adapter ? ' with adapter' : ''}`;
  groups.set(name, [...(groups.get(name) ?? []), row]);
}

async function collect(
  model: CausalLM,
  prompt: readonly number[],
  settings: GenerateSettings,
): Promise<{ ids: number[]; reason: string }> {
  const ids: number[] = [];
  const tokens = generate(model, Int32Array.from(prompt), settings);
  for (let step = await tokens.next(); ; step = await tokens.next()) {
    if (step.done) return { ids, reason: step.value };
    ids.push(step.value);
  }
}

/** Logits of every position by one forward without a cache, [N][V]. */
async function fullLogits(model: CausalLM, ids: readonly number[]): Promise<Float32Array[]> {
  const N = ids.length;
  const flat = await scopeAsync(async () => {
    const pack = {
      input_ids: Int32Array.from(ids),
      position_ids: Int32Array.from(ids, (_, i) => i),
      subtree_end: new Int32Array(N).fill(N),
    };
    const hidden = await model.forward(pack, { recompute: 'none', dropoutSeed: null });
    return readFloats(matMul(hidden, model.headWeight, { transposeB: true }));
  });
  const V = flat.length / N;
  return Array.from({ length: N }, (_, i) => flat.subarray(i * V, (i + 1) * V));
}

beforeAll(async () => {
  await startEngine();
});

describe('generate', () => {
  it.each([...groups])("gives transformers' greedy answers: %s", async (_, rows) => {
    const [first] = rows as [Answer];
    const model = goldenModel(first.case, { adapter: first.adapter });
    for (const { prompt, new_ids } of rows) {
      const ends = new_ids.at(-1) === END;
      const expected = { ids: ends ? new_ids.slice(0, -1) : new_ids, reason: ends ? 'stop' : 'length' };
      expect(await collect(model, prompt, GREEDY)).toEqual(expected);
    }
  });

  it('has an answer among the goldens that ends at the end token', () => {
    expect(answers.some(({ new_ids }) => new_ids.at(-1) === END && new_ids.length < GREEDY.max_new_tokens)).toBe(true);
  });

  it('is the same with the cache as with a full forward for each token, also behind a prompt of several chunks', async () => {
    const model = goldenModel('rslora', { adapter: true });
    for (const length of [1, 513, 1100]) {
      const prompt = Array.from({ length }, (_, i) => (i === 0 ? 1 : 3 + ((i * 37) % 150)));
      const ids = [...prompt];
      for (let i = 0; i < 4; i++) ids.push(argmax((await fullLogits(model, ids)).at(-1) as Float32Array));
      const settings = { ...GREEDY, max_new_tokens: 4, stop_ids: new Set<number>() };
      expect((await collect(model, prompt, settings)).ids).toEqual(ids.slice(length));
    }
  });

  it('draws the same answer for the same seed, and others for others', async () => {
    const model = goldenModel('gqa_tied', { adapter: false });
    const sampled = { ...GREEDY, temperature: 1, top_p: 0.95 };
    const first = await collect(model, [1, 30, 40], { ...sampled, seed: 5 });
    expect(await collect(model, [1, 30, 40], { ...sampled, seed: 5 })).toEqual(first);
    expect(await collect(model, [1, 30, 40], { ...sampled, seed: 6 })).not.toEqual(first);
  });

  it('never draws a token outside the nucleus', async () => {
    const model = goldenModel('gqa_tied', { adapter: false });
    const settings = { ...GREEDY, temperature: 2, top_p: 1e-6, stop_ids: new Set<number>() };
    const greedy = await collect(model, [1, 30, 40], { ...GREEDY, stop_ids: new Set<number>() });
    expect(await collect(model, [1, 30, 40], settings)).toEqual(greedy);
  });

  it('leaves no tensor behind: after an answer, after one cut short, and after an error', async () => {
    const model = goldenModel('gqa_tied', { adapter: true });
    const before = liveTensors();
    await collect(model, [1, 30, 40], GREEDY);
    expect(liveTensors()).toBe(before);
    for await (const _ of generate(model, Int32Array.of(1, 30, 40), GREEDY)) break;
    expect(liveTensors()).toBe(before);
    await expect(collect(model, [1, 30, 999_999], GREEDY)).rejects.toThrow('vocab_size 256, got 999999');
    expect(liveTensors()).toBe(before);
  });

  it('holds two tensors a layer while it runs, however many tokens there are', async () => {
    const model = goldenModel('gqa_tied', { adapter: false });
    const before = liveTensors();
    for await (const _ of generate(model, Int32Array.of(1, 30, 40), GREEDY)) expect(liveTensors() - before).toBe(4);
  });
});

describe('generate: positions', () => {
  const refuse = async (length: number) => {
    const model = { ...goldenModel('gqa_tied', { adapter: false }), max_position_embeddings: 256 };
    await collect(model, new Array<number>(length).fill(5), { ...GREEDY, max_new_tokens: 7 });
  };

  it('refuses a prompt that leaves no room for the answer, before any work', async () => {
    await expect(refuse(250)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[UserError: prompt: expected at most the model's 256 tokens with the answer, got 250 and 7 new ones; ask for at most 6 new tokens.]`,
    );
  });

  it('refuses a prompt that does not fit by itself', async () => {
    await expect(refuse(300)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[UserError: prompt: expected at most the model's 256 tokens with the answer, got 300 and 7 new ones; shorten the question.]`,
    );
  });

  it('refuses an empty prompt', async () => {
    await expect(refuse(0)).rejects.toThrowErrorMatchingInlineSnapshot(
      `[UserError: prompt: expected at least one token, got none; ask a question.]`,
    );
  });

  it('uses the last position', async () => {
    const model = { ...goldenModel('gqa_tied', { adapter: false }), max_position_embeddings: 256 };
    const settings = { ...GREEDY, max_new_tokens: 6, stop_ids: new Set<number>() };
    expect((await collect(model, new Array<number>(250).fill(5), settings)).ids).toHaveLength(6);
  });
});
