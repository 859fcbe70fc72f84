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
    const byBytes = await loadModel(write('bytes', 0), { dtype: 'float32' });
    expect(byBytes.headWeight.shape[0]).toBe(259);
    for (const tie_word_embeddings of [true, false]) {
      for (const num_key_value_heads of [1, 2, 4]) {
        const path = writeTinyModel(folder, { tie_word_embeddings, num_key_value_heads });
        const linears = (await loadModel(path, { dtype: 'float32' })).linears;
        expect(linears.size).toBe(14);
      }
    }
  });

  it('its tokenizer of bytes gives back every text', async () => {
    const tokenizer = await loadTokenizer(write('text', 0));
    const text = 'Aye, love!\n\t皇帝 🐍 é\u00ad<|im_end|>';
    const ids = tokenizer.encode(text);
    expect(ids.length).toBe(Buffer.byteLength(text));
    expect(tokenizer.decode(ids)).toBe(text);
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
