// GGUF to a Hugging Face folder, against transformers' gguf loader and llama.cpp (scripts/make_gguf_goldens.py).
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { convertGguf } from '../../src/checkpoint/gguf_to_hf.ts';
import { readSafetensorsHeader, type TensorInfo } from '../../src/checkpoint/safetensors.ts';
import { readJsonFile, sha256 } from '../../src/core/files.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { temporaryFolder } from '../support/temporary.ts';

interface Golden {
  config: Record<string, unknown>;
  tensors: Record<string, { shape: number[]; sha256: string }>;
  tokens: { text: string; ids: number[] }[];
}

const goldens = join(import.meta.dirname, 'goldens');
const tiny = readJsonFile(join(goldens, 'tiny_llama.json'), 'goldens') as Golden;
const folder = temporaryFolder();

beforeAll(() => convertGguf(join(goldens, 'tiny_llama.gguf'), folder, () => {}));

function hashOf(info: TensorInfo): string {
  return sha256(readFileSync(info.path).subarray(info.offset, info.offset + info.bytes));
}

/** Ids without special tokens; texts that spell one are left to the data room's tokenizer. */
async function expectSameIds(path: string, tokens: Golden['tokens']): Promise<void> {
  const tokenizer = await loadTokenizer(path);
  const plain = tokens.filter(({ text }) => !text.includes('<|'));
  expect(plain.length).toBeGreaterThan(15);
  const encoded = await tokenizer.encode(plain.map(({ text }) => text));
  for (const [i, { text, ids }] of plain.entries())
    expect({ text, ids: [...(encoded[i] ?? [])] }).toEqual({ text, ids });
}

describe('a GGUF file as a Hugging Face folder', () => {
  it('has every tensor of every type bit for bit as transformers reads it', () => {
    const { tensors } = readSafetensorsHeader(join(folder, 'model.safetensors'));
    const got = Object.fromEntries(
      [...tensors.values()].map((info) => [info.name, { shape: info.shape, sha256: hashOf(info) }]),
    );
    expect(got).toEqual(tiny.tensors);
  });

  it('has the config that transformers derives, readable for versions 4 and 5', () => {
    const config = readJsonFile(join(folder, 'config.json'), 'a config');
    expect(config).toMatchObject(tiny.config);
    expect(config).toMatchObject({ rms_norm_eps: 1e-6, rope_theta: 5000, rope_scaling: null, eos_token_id: 2 });
  });

  it('has a tokenizer with the ids of llama.cpp', () => expectSameIds(folder, tiny.tokens));

  it('keeps the special tokens and the chat template', () => {
    expect(readJsonFile(join(folder, 'tokenizer_config.json'), 'a config')).toMatchObject({
      bos_token: '<|im_start|>',
      eos_token: '<|im_end|>',
      pad_token: null,
      chat_template: "{% for m in messages %}{{ m['content'] }}{% endfor %}",
      added_tokens_decoder: { 2: { content: '<|im_end|>', special: true } },
    });
  });
});

const real = join(import.meta.dirname, '../../checkpoints/base/smollm2-135m-instruct');
describe('the fetched SmolLM2', () => {
  it.skipIf(!existsSync(real))(
    'has the token ids of llama.cpp (skipped without `rocit fetch smollm2-135m-instruct`)',
    () => {
      expectSameIds(real, (readJsonFile(join(goldens, 'smollm2_135m_instruct.json'), 'goldens') as Golden).tokens);
    },
  );
});
