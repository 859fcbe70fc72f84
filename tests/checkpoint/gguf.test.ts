// GGUF headers that are whole, cut off, or damaged.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openGguf, readGgufTensor } from '../../src/checkpoint/gguf.ts';
import { unpermuteRows } from '../../src/checkpoint/gguf_llama.ts';
import { BLOCK_FORMATS } from '../../src/checkpoint/gguf_quants.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { userErrorOf } from './user_error.ts';

const source = join(import.meta.dirname, 'goldens/tiny_llama.gguf');
const folder = temporaryFolder();

function damaged(change: (bytes: Buffer) => Buffer): string {
  const path = join(folder, 'bad.gguf');
  writeFileSync(path, change(readFileSync(source)));
  return path;
}

describe('openGguf', () => {
  it('reads metadata of every kind used and the tensors in file order', () => {
    const file = openGguf(source);
    expect(file.version).toBe(3);
    expect(file.metadata.get('llama.rope.freq_base')).toBe(5000);
    expect(file.metadata.get('tokenizer.ggml.add_bos_token')).toBe(false);
    expect(file.metadata.get('tokenizer.ggml.token_type')).toHaveLength(264);
    expect([...file.tensors.keys()].slice(0, 2)).toEqual(['token_embd.weight', 'blk.0.attn_norm.weight']);
    expect(file.tensors.get('blk.0.attn_k.weight')).toMatchObject({ shape: [16, 32], type: 'Q4_0', bytes: 16 * 18 });
  });

  it('refuses a file cut off anywhere, with the place', () => {
    const { length } = readFileSync(source);
    for (const keep of [0, 3, 10, 23, 200, 3000, length - 1]) {
      const path = damaged((bytes) => bytes.subarray(0, keep));
      expect(userErrorOf(() => openGguf(path), folder)).toMatch(/ends inside .*; download it again\.$/);
    }
  });

  it('refuses other bytes, other versions and types that cannot be decoded', () => {
    expect(
      userErrorOf(() => openGguf(damaged((b) => Buffer.concat([Buffer.from('PK'), b]))), folder),
    ).toMatchInlineSnapshot(`"<folder>/bad.gguf: expected a GGUF file, got other bytes; check the path."`);
    const version1 = damaged((b) => {
      b.writeUInt32LE(1, 4);
      return b;
    });
    expect(userErrorOf(() => openGguf(version1), folder)).toMatchInlineSnapshot(
      `"<folder>/bad.gguf: expected GGUF version 2 or 3, little-endian, got 1; convert it again."`,
    );
    const q6 = damaged((b) => {
      const name = b.indexOf('blk.0.attn_norm.weight');
      b.writeUInt32LE(14, name + 'blk.0.attn_norm.weight'.length + 4 + 8);
      return b;
    });
    expect(userErrorOf(() => openGguf(q6), folder)).toMatchInlineSnapshot(
      `"<folder>/bad.gguf: expected tensors of type F32, F16, Q4_0, Q4_1, Q8_0, BF16, got ggml type 14 in blk.0.attn_norm.weight; use a file in one of these."`,
    );
    expect(userErrorOf(() => openGguf(join(folder, 'none.gguf')), folder)).toMatchInlineSnapshot(
      `"<folder>/none.gguf: expected a GGUF file, got no such file; check the path."`,
    );
  });

  it('names a tensor that is not there', () => {
    expect(userErrorOf(() => readGgufTensor(openGguf(source), 'x'), folder)).toMatch(/expected a tensor x, got none/);
  });
});

describe('block formats', () => {
  it('decode a block by hand: Q4_0, Q4_1, Q8_0', () => {
    const half = [0x00, 0x38]; // 0.5
    const two = [0x00, 0x40]; // 2
    const nibbles = Array.from({ length: 16 }, (_, i) => i | ((15 - i) << 4));
    const run = (type: 'Q4_0' | 'Q4_1' | 'Q8_0', block: number[]) => {
      const out = new Float32Array(32);
      BLOCK_FORMATS[type].decode(Uint8Array.from(block), out);
      return [...out];
    };
    const up = Array.from({ length: 16 }, (_, i) => i);
    const quants = [...up, ...up.toReversed()];
    expect(run('Q4_0', [...half, ...nibbles])).toEqual(quants.map((q) => 0.5 * (q - 8)));
    expect(run('Q4_1', [...half, ...two, ...nibbles])).toEqual(quants.map((q) => 0.5 * q + 2));
    const bytes = Array.from({ length: 32 }, (_, i) => (i * 37) % 256);
    expect(run('Q8_0', [...half, ...bytes])).toEqual(bytes.map((b) => 0.5 * (b > 127 ? b - 256 : b)));
  });
});

describe('unpermuteRows', () => {
  it('turns interleaved pairs of each head into two halves', () => {
    // Two heads of dimension 4: stored rows 0 2 1 3 hold the Hugging Face rows 0 1 2 3 of each head.
    expect([...unpermuteRows(Float32Array.from([0, 2, 1, 3, 4, 6, 5, 7]), 8, 4)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });
});
