// Ids equal to those of Python `tokenizers` (goldens by scripts/make_tokenizer_goldens.py), special tokens never parsed.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

interface Golden {
  cases: { text: string; ids: number[]; ids_with_special: number[]; decoded: string }[];
}

const goldens = inRepository('tests', 'goldens');
const tokenizers = [
  { name: 'tiny', folder: join(goldens, 'tiny_tokenizer') },
  { name: 'tiny_llama', folder: join(goldens, 'tiny_tokenizer_llama') },
  { name: 'smollm2', folder: inRepository('checkpoints', 'base', 'smollm2-135m-instruct') },
];

describe.each(tokenizers)('tokenizer $name', ({ name, folder }) => {
  const isThere = existsSync(folder);
  if (!isThere) process.stderr.write(`skipped: tokenizer ${name}, none at ${folder}\n`);
  const read = (): Golden => JSON.parse(readFileSync(join(goldens, `tokenizer_${name}.json`), 'utf8'));

  it.skipIf(!isThere)('gives the ids of Python tokenizers for every golden text', async () => {
    const tokenizer = await loadTokenizer(folder);
    const { cases } = read();
    expect(cases.length).toBeGreaterThan(30);
    for (const { text, ids, ids_with_special } of cases) {
      expect(tokenizer.encode(text), text).toEqual(ids);
      expect(tokenizer.encode(text, { addSpecialTokens: true }), text).toEqual(ids_with_special);
    }
  });

  it.skipIf(!isThere)('decodes to the text that Python tokenizers gives', async () => {
    const tokenizer = await loadTokenizer(folder);
    // The library drops a byte order mark that was spelt in bytes.
    const plain = (text: string) => text.replaceAll('\ufeff', '');
    for (const { ids, decoded } of read().cases) expect(plain(tokenizer.decode(ids))).toBe(plain(decoded));
  });

  it.skipIf(!isThere)('never makes a special token of text', async () => {
    const tokenizer = await loadTokenizer(folder);
    const special = new Set(tokenizer.specialTokens.map((token) => tokenizer.tokenToId(token)));
    for (const token of tokenizer.specialTokens) {
      const ids = [token, `a${token}b`, ` ${token} `].flatMap((text) => tokenizer.encode(text));
      expect(ids.filter((id) => special.has(id))).toEqual([]);
    }
  });
});

describe('a tokenizer with a dummy blank', () => {
  const folder = join(goldens, 'tiny_tokenizer_llama');

  it('leaves it out where it is told to', async () => {
    const tokenizer = await loadTokenizer(folder);
    const mark = tokenizer.tokenToId('▁');
    expect(tokenizer.encode('x y')[0]).toBe(mark);
    expect(tokenizer.decode(tokenizer.encode('x y', { dummyBlank: false }))).toBe('x y');
    expect(tokenizer.encode('x y', { dummyBlank: false })[0]).toBe(tokenizer.tokenToId('x'));
  });

  it('knows which ids its post-processor puts in front', async () => {
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.prefixIds).toEqual([tokenizer.bosId]);
    expect((await loadTokenizer(join(goldens, 'tiny_tokenizer'))).prefixIds).toEqual([]);
  });
});

describe('the tokenizer library', () => {
  it('does not load its model runtime, which crashes threads when they end', async () => {
    const script = [
      `const { loadTokenizer } = await import(${JSON.stringify(inRepository('dist', 'data', 'tokenizer.js'))});`,
      `await loadTokenizer(${JSON.stringify(join(goldens, 'tiny_tokenizer'))});`,
      'console.log(process.report.getReport().sharedObjects.filter((path) => /onnx|sharp/.test(path)).length);',
    ].join('\n');
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect([stdout.trim(), stderr]).toEqual(['0', '']);
  });
});

describe('a tokenizer folder', () => {
  const folder = temporaryFolder();
  const tiny = join(goldens, 'tiny_tokenizer');

  it('has another hash when a file changes', async () => {
    const copy = join(folder, 'copy');
    cpSync(tiny, copy, { recursive: true });
    const { hash, files } = await loadTokenizer(copy);
    expect(hash).toBe((await loadTokenizer(tiny)).hash);
    expect(files).toEqual([join(copy, 'tokenizer.json'), join(copy, 'tokenizer_config.json')]);
    writeFileSync(join(copy, 'chat_template.jinja'), '{{ messages[0].content }}');
    const changed = await loadTokenizer(copy);
    expect(changed.hash).not.toBe(hash);
    expect(changed.chatTemplate).toBe('{{ messages[0].content }}');
  });

  it('is refused without tokenizer.json, as an LFS pointer and without an end token', async () => {
    const bad = join(folder, 'bad');
    mkdirSync(bad);
    await expect(loadTokenizer(bad)).rejects.toThrow(/tokenizer\.json: expected a tokenizer, got no such file/);
    writeFileSync(join(bad, 'tokenizer.json'), 'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 17\n');
    await expect(loadTokenizer(bad)).rejects.toThrow(/got a Git LFS pointer to a file of 17 bytes; run `git lfs pull`/);
    cpSync(join(tiny, 'tokenizer.json'), join(bad, 'tokenizer.json'));
    await expect(loadTokenizer(bad)).rejects.toThrow(/expected "eos_token" .* got neither/);
  });
});
