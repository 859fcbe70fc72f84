import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { startEngine } from '../../src/engine/runtime.ts';
import { answerPrompt, stopIds } from '../../src/inference/answer.ts';
import { goldenModel } from '../support/goldens.ts';
import { temporaryFolder } from '../support/temporary.ts';

beforeAll(async () => {
  await startEngine();
});

describe('answerPrompt', () => {
  it('hands out pieces that add up to the text of the tokens, and counts the tokens', async () => {
    const model = goldenModel('gqa_tied', { adapter: false });
    const decoder = { decode: (ids: readonly number[]) => ids.map((id) => `<${id}>`).join('') };
    const settings = { temperature: 0, top_p: 1, max_new_tokens: 5, seed: 0, stop_ids: new Set([2]) };
    const pieces: string[] = [];
    let tokens = 0;
    const reason = await answerPrompt(model, decoder, Int32Array.of(1, 30, 40), {
      ...settings,
      onText: (piece) => pieces.push(piece),
      onToken: () => {
        tokens += 1;
      },
    });
    expect(reason).toBe('length');
    expect(tokens).toBe(5);
    expect(pieces).toHaveLength(5);
    expect(pieces.join('')).toMatch(/^(<\d+>){5}$/);
  });
});

describe('stopIds', () => {
  const root = temporaryFolder();
  const folder = (name: string, files: Record<string, unknown>) => {
    mkdirSync(join(root, name));
    for (const [file, value] of Object.entries(files)) writeFileSync(join(root, name, file), JSON.stringify(value));
    return join(root, name);
  };

  it('joins the end tokens of tokenizer, generation settings and model', () => {
    const three = folder('three', {
      'generation_config.json': { eos_token_id: [5, 6] },
      'config.json': { eos_token_id: 7 },
    });
    expect([...stopIds(three, 2)].sort()).toEqual([2, 5, 6, 7]);
  });

  it('is the end token of the tokenizer where nothing else is said', () => {
    expect([...stopIds(folder('none', { 'config.json': { eos_token_id: null } }), 2)]).toEqual([2]);
    expect([...stopIds(folder('empty', {}), 3)]).toEqual([3]);
  });
});
