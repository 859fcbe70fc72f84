// A random LLaMA of two layers (hidden 32, 4 query heads, 2 key/value heads) with the tiny tokenizer of the goldens.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TinyLlamaOptions, writeTinyLlama } from '../../src/checkpoint/tiny_llama.ts';
import { inRepository } from './paths.ts';

const VOCAB_SIZE = 512;

/** Writes the Hugging Face folder `folder/tiny` and returns its path. */
export function writeTinyModel(folder: string, options: Partial<Omit<TinyLlamaOptions, 'tokenizer'>> = {}): string {
  const path = join(folder, 'tiny');
  const source = inRepository('tests/goldens/tiny_tokenizer');
  const files = Object.fromEntries(readdirSync(source).map((name) => [name, readFileSync(join(source, name), 'utf8')]));
  mkdirSync(path, { recursive: true });
  writeTinyLlama(path, {
    seed: 0,
    tie_word_embeddings: true,
    num_key_value_heads: 2,
    ...options,
    tokenizer: { files, vocab_size: VOCAB_SIZE },
  });
  return path;
}
