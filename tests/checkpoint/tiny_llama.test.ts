import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeTinyLlama } from '../../src/checkpoint/tiny_llama.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { loadModel } from '../../src/models/load.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { writeTinyModel } from '../support/tiny_model.ts';

const folder = temporaryFolder();

function write(name: string, seed: number): string {
  const path = join(folder, name);
  mkdirSync(path);
  writeTinyLlama(path, { seed, tie_word_embeddings: true, num_key_value_heads: 2, tokenizer: null });
  return path;
}

describe('the tiny LLaMA', () => {
  beforeAll(async () => {
    await startEngine();
  });

  it('loads as a model, tied and untied, with grouped heads and without', async () => {
    const own = await loadModel(write('own', 0), { dtype: 'float32' });
    const { vocab } = JSON.parse(readFileSync(join(folder, 'own/tokenizer.json'), 'utf8')).model;
    expect(own.headWeight.shape[0]).toBe(Object.keys(vocab).length);
    for (const tie_word_embeddings of [true, false]) {
      for (const num_key_value_heads of [1, 2, 4]) {
        const path = writeTinyModel(folder, { tie_word_embeddings, num_key_value_heads });
        const linears = (await loadModel(path, { dtype: 'float32' })).linears;
        expect(linears.size).toBe(14);
      }
    }
  });

  it('its tokenizer gives back every text, and knows a few words as one token each', async () => {
    const tokenizer = await loadTokenizer(write('text', 0));
    const text = 'Aye, love!\n\t皇帝 🐍 é\u00ad<|im_end|>';
    const [ids = [], words, characters] = await tokenizer.encode([text, ' you are the role', '皇帝']);
    expect(ids.length).toBeLessThan(Buffer.byteLength(text));
    expect(tokenizer.decode(ids)).toBe(text);
    expect(words).toHaveLength(4);
    expect(characters).toHaveLength(6);
    expect(tokenizer.eosId).toBe(2);
  });

  it('is the same file for the same seed and another one for another', () => {
    const [a, b, c] = [write('a', 1), write('b', 1), write('c', 2)].map((path) =>
      readFileSync(join(path, 'model.safetensors')).toString('base64'),
    );
    expect(a).toBe(b);
    expect(a).not.toBe(c);
  });
});
