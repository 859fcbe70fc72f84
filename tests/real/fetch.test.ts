import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../src/checkpoint/safetensors.ts';
import { BASE, FETCH_LIMIT, fetchBase } from './smollm2.ts';

interface Source {
  source: { name: string; sha256: string };
  files: Record<string, { bytes: number; sha256: string }>;
}

const MANIFEST = 'rocit_source.json';

/** Of the GGUF file that everything is made from. */
const GGUF_SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function json<T>(name: string): T {
  return JSON.parse(readFileSync(join(BASE, name), 'utf8')) as T;
}

/** Name → inode, size and time of change: whatever is written anew differs. */
function filesystemState(): Record<string, unknown> {
  const entries = readdirSync(BASE).map((name) => {
    const { ino, size, mtimeMs, ctimeMs } = statSync(join(BASE, name));
    return [name, { ino, size, mtimeMs, ctimeMs }] as const;
  });
  return Object.fromEntries([...entries, ['.', statSync(BASE).ino]]);
}

beforeAll(async () => {
  await fetchBase();
}, FETCH_LIMIT);

describe('rocit fetch smollm2-135m-instruct', () => {
  it('makes a folder whose files are those of its manifest, byte for byte', async () => {
    const { source, files } = json<Source>(MANIFEST);
    expect(source).toMatchObject({ name: 'smollm2-135m-instruct', sha256: GGUF_SHA256 });
    expect(Object.keys(files).sort()).toEqual(
      readdirSync(BASE)
        .filter((name) => name !== MANIFEST)
        .sort(),
    );
    for (const [name, { bytes, sha256: expected }] of Object.entries(files)) {
      expect([name, statSync(join(BASE, name)).size, await sha256(join(BASE, name))]).toEqual([name, bytes, expected]);
    }
  });

  it('holds the 135 million weights of a LLaMA of 30 layers in float32, with tied head and chat template', () => {
    expect(json('config.json')).toMatchObject({
      model_type: 'llama',
      hidden_size: 576,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      vocab_size: 49152,
      tie_word_embeddings: true,
    });
    const tensors = [...readSafetensorsHeader(join(BASE, 'model.safetensors')).tensors.values()];
    expect(tensors).toHaveLength(2 + 30 * 9);
    expect(new Set(tensors.map(({ dtype }) => dtype))).toEqual(new Set(['F32']));
    expect(tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0)).toBe(134_515_008);
    expect(json<{ chat_template: string }>('tokenizer_config.json').chat_template).toContain('<|im_start|>');
  });

  it('changes nothing when the folder is whole', async () => {
    const before = filesystemState();
    expect((await fetchBase()).stderr).toMatch(/^smollm2-135m-instruct is already in checkpoints\/base\/.*$/m);
    expect(filesystemState()).toEqual(before);
  });
});
