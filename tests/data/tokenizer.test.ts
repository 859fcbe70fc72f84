// Ids equal to those of Python `tokenizers` (goldens by scripts/make_tokenizer_goldens.py), special tokens never parsed.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer, type Tokenizer } from '../../src/data/tokenizer.ts';
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

async function idsOf(tokenizer: Tokenizer, text: string, options?: { dummyBlank?: boolean }): Promise<number[]> {
  const [ids] = await tokenizer.encode([text], options);
  return [...(ids ?? [])];
}

describe.each(tokenizers)('tokenizer $name', ({ name, folder }) => {
  const isThere = existsSync(folder);
  if (!isThere) process.stderr.write(`skipped: tokenizer ${name}, none at ${folder}\n`);
  const read = (): Golden => JSON.parse(readFileSync(join(goldens, `tokenizer_${name}.json`), 'utf8'));

  it.skipIf(!isThere)('gives the ids of Python tokenizers for every golden text', async () => {
    const tokenizer = await loadTokenizer(folder);
    const { cases } = read();
    expect(cases.length).toBeGreaterThan(30);
    const encoded = await tokenizer.encode(cases.map(({ text }) => text));
    for (const [i, { text, ids, ids_with_special }] of cases.entries()) {
      const got = [...(encoded[i] ?? [])];
      expect(got, text).toEqual(ids);
      expect([...tokenizer.prefixIds, ...got], text).toEqual(ids_with_special);
    }
  });

  it.skipIf(!isThere)('decodes to the text that Python tokenizers gives', async () => {
    const tokenizer = await loadTokenizer(folder);
    for (const { ids, decoded } of read().cases) expect(tokenizer.decode(ids)).toBe(decoded);
  });

  it.skipIf(!isThere)('never makes a special token of text, and one of its placeholder', async () => {
    const tokenizer = await loadTokenizer(folder);
    const specials = tokenizer.addedTokens.filter(({ special }) => special);
    const special = new Set(specials.map(({ id }) => id));
    expect(specials.length).toBeGreaterThan(2);
    for (const { content, id } of specials) {
      for (const text of [content, `a${content}b`, ` ${content} `]) {
        expect((await idsOf(tokenizer, text)).filter((one) => special.has(one))).toEqual([]);
      }
      const placed = await idsOf(tokenizer, `a${tokenizer.placeholder(content)}b`);
      expect(placed.filter((one) => special.has(one))).toEqual([id]);
    }
  });
});

describe('a tokenizer with a dummy blank', () => {
  const folder = join(goldens, 'tiny_tokenizer_llama');

  it('leaves it out where it is told to', async () => {
    const tokenizer = await loadTokenizer(folder);
    const mark = tokenizer.tokenToId('▁');
    expect((await idsOf(tokenizer, 'x y'))[0]).toBe(mark);
    const bare = await idsOf(tokenizer, 'x y', { dummyBlank: false });
    expect(bare[0]).toBe(tokenizer.tokenToId('x'));
    expect(tokenizer.decode(bare)).toBe('x y');
  });

  it('knows which ids its post-processor puts in front', async () => {
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.prefixIds).toEqual([tokenizer.bosId]);
    expect((await loadTokenizer(join(goldens, 'tiny_tokenizer'))).prefixIds).toEqual([]);
  });
});

describe('the tokenizer libraries', () => {
  const script = (name: string) =>
    [
      `const { loadTokenizer } = await import(${JSON.stringify(inRepository('dist', 'data', 'tokenizer.js'))});`,
      `const tokenizer = await loadTokenizer(${JSON.stringify(join(goldens, 'tiny_tokenizer'))});`,
      `console.log(tokenizer.library.replace(/[\\d.]+/, 'x'), (await tokenizer.encode(['${name} 灯']))[0].length);`,
      'console.log(process.report.getReport().sharedObjects.filter((path) => /onnx|sharp/.test(path)).length);',
    ].join('\n');
  const run = (env: Record<string, string>) =>
    spawnSync(process.execPath, ['--input-type=module', '-e', script('lamp')], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });

  it('are the Rust one, and on request the second one, which says so once', () => {
    const rust = run({});
    expect([rust.stdout, rust.stderr]).toEqual(['tokenizers x 6\n0\n', '']);
    const xenova = run({ ROCIT_TOKENIZER: 'xenova' });
    // Its model runtime, which crashes threads when they end, is not loaded.
    expect(xenova.stdout).toBe('@xenova/transformers x 6\n0\n');
    expect(xenova.stderr).toMatch(/^@xenova\/transformers [\d.]+ makes the tokens: slower, and it refuses [^\n]*\n$/);
  });

  it('are no others', () => {
    const { status, stderr } = run({ ROCIT_TOKENIZER: 'other' });
    expect(status).toBe(1);
    expect(stderr).toMatch(/ROCIT_TOKENIZER: expected tokenizers or xenova, got other; unset it\./);
  });
});

describe('a tokenizer folder', () => {
  const folder = temporaryFolder();
  const tiny = join(goldens, 'tiny_tokenizer');
  let copies = 0;

  /** A copy of a tokenizer, with its tokenizer.json changed. */
  function changed(
    from: string,
    change: (json: { added_tokens: Record<string, unknown>[] } & Record<string, unknown>) => void,
  ) {
    const copy = join(folder, `changed-${copies++}`);
    cpSync(join(goldens, from), copy, { recursive: true });
    const path = join(copy, 'tokenizer.json');
    const json = JSON.parse(readFileSync(path, 'utf8'));
    change(json);
    writeFileSync(path, JSON.stringify(json));
    return copy;
  }

  it('has another hash when a file changes', async () => {
    const copy = join(folder, 'copy');
    cpSync(tiny, copy, { recursive: true });
    const { hash, files } = await loadTokenizer(copy);
    expect(hash).toBe((await loadTokenizer(tiny)).hash);
    expect(files).toEqual([join(copy, 'tokenizer.json'), join(copy, 'tokenizer_config.json')]);
    writeFileSync(join(copy, 'chat_template.jinja'), '{{ messages[0].content }}');
    const other = await loadTokenizer(copy);
    expect(other.hash).not.toBe(hash);
    expect(other.chatTemplate).toBe('{{ messages[0].content }}');
  });

  it('is refused without tokenizer.json, as an LFS pointer and without an end token', async () => {
    const bad = join(folder, 'bad');
    mkdirSync(bad);
    await expect(loadTokenizer(bad)).rejects.toThrow(/tokenizer\.json: expected a tokenizer, got no such file/);
    writeFileSync(join(bad, 'tokenizer.model'), 'x');
    await expect(loadTokenizer(bad)).rejects.toThrow(
      /expected tokenizer\.json, got tokenizer\.model alone; convert it once with Python: AutoTokenizer\.from_pretrained/,
    );
    rmSync(join(bad, 'tokenizer.model'));
    writeFileSync(join(bad, 'tokenizer.json'), 'version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 17\n');
    await expect(loadTokenizer(bad)).rejects.toThrow(/got a Git LFS pointer to a file of 17 bytes; run `git lfs pull`/);
    cpSync(join(tiny, 'tokenizer.json'), join(bad, 'tokenizer.json'));
    await expect(loadTokenizer(bad)).rejects.toThrow(/expected "eos_token" .* got neither/);
  });

  it('with a truncation or padding of its own still gives whole texts', async () => {
    const copy = changed('tiny_tokenizer', (json) => {
      json.truncation = { direction: 'Right', max_length: 4, strategy: 'LongestFirst', stride: 0 };
      json.padding = { strategy: { Fixed: 64 }, direction: 'Right', pad_id: 0, pad_type_id: 0, pad_token: 'x' };
      json.padding = { ...(json.padding as object), pad_to_multiple_of: null };
    });
    const text = 'a text of more than four tokens';
    expect(await idsOf(await loadTokenizer(copy), text)).toEqual(await idsOf(await loadTokenizer(tiny), text));
  });

  it('whose file numbers added tokens differently from the library is refused', async () => {
    const copy = changed('tiny_tokenizer', ({ added_tokens }) => {
      added_tokens.push({ ...added_tokens[0], id: 600, content: '<|far|>' });
    });
    await expect(loadTokenizer(copy)).rejects.toThrow(
      /expected added tokens with the ids that the library gives them, got <\|far\|>: 600, read as 512; number them/,
    );
  });

  it('takes the tokens of tokenizer_config.json for special where the file has them in its vocabulary alone', async () => {
    const copy = changed('tiny_tokenizer', (json) => {
      json.added_tokens = [];
    });
    const tokenizer = await loadTokenizer(copy);
    const id = tokenizer.tokenToId('<|im_end|>');
    expect(await idsOf(tokenizer, tokenizer.placeholder('<|im_end|>'))).toEqual([id]);
    expect(await idsOf(tokenizer, '<|im_end|>')).not.toContain(id);
  });

  it('does not take texts with reserved noncharacters', async () => {
    const tokenizer = await loadTokenizer(tiny);
    await expect(tokenizer.encode(['a \uFDD5 b'])).rejects.toThrow(/without the noncharacters U\+FDD0 to U\+FDEF/);
  });
});
