// A sample of the differential fuzz against Python `tokenizers` (scripts/make_tokenizer_fuzz.py): tokenizers of many
// shapes, texts of every Unicode category. Every id is Python's, or the text is refused where that is right.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addedTokens } from '../../src/data/added_tokens.ts';
import { loadTokenizer, type Tokenizer } from '../../src/data/tokenizer.ts';
import type { Codec } from '../../src/data/tokenizer_codec.ts';
import { xenovaLibrary } from '../../src/data/tokenizer_xenova.ts';
import { inRepository } from '../support/paths.ts';

interface Case {
  ids: number[];
  decoded?: string;
  skipped?: string;
}
interface Cases {
  texts: (Case & { text: string })[];
  prompts: (Case & { pieces: ({ token: string } | { text: string })[] })[];
  sequences: (Case & { decoded: string })[];
}

const root = inRepository('tests', 'goldens', 'tokenizer_fuzz');
const names = readdirSync(root);

const readCases = (name: string): Cases => JSON.parse(readFileSync(join(root, name, 'cases.json'), 'utf8'));

/** Ids, or the words of a refusal, one by one. */
async function encodeEach(encode: (text: string) => Promise<Int32Array[]>, texts: string[]) {
  const results: (number[] | string)[] = [];
  for (const text of texts) {
    try {
      results.push([...((await encode(text))[0] ?? [])]);
    } catch (error) {
      if ((error as Error).name !== 'UserError') throw error;
      results.push((error as Error).message);
    }
  }
  return results;
}

/** Special tokens that Python searches for in a changed text; rocit always takes them for their ids. */
const misread = (tokenizer: Tokenizer) =>
  tokenizer.addedTokens.filter((token) => token.special && token.normalized && tokenizer.normalizes);

it('the sample holds tokenizers of many shapes', () => {
  expect(names.length).toBeGreaterThanOrEqual(12);
});

describe.each(names)('%s', (name) => {
  /** Refusals that are right: what is spelt there cannot be text. */
  const expected: Record<string, RegExp> = {
    overlap: /^expected a text without .*, which shares characters with an added token, got one with it$/,
    unigram: /^expected a text without special tokens, which the model of this tokenizer cannot read as text/,
  };

  it('texts have the ids of Python', async () => {
    const tokenizer = await loadTokenizer(join(root, name));
    const { texts } = readCases(name);
    const got = await encodeEach(
      (text) => tokenizer.encode([text]),
      texts.map(({ text }) => text),
    );
    let refused = 0;
    for (const [i, { text, ids }] of texts.entries()) {
      const one = got[i];
      if (typeof one === 'string') {
        expect(one).toMatch(expected[name] ?? /never/);
        refused += 1;
      } else expect(one, JSON.stringify(text)).toEqual(ids);
    }
    expect(refused > 0).toBe(name in expected);
    expect(texts.length - refused).toBeGreaterThan(80);
  });

  it('prompts have the ids of Python, special tokens by their placeholders', async () => {
    const tokenizer = await loadTokenizer(join(root, name));
    const wrong = new Set(misread(tokenizer).map(({ content }) => content));
    const prompts = readCases(name).prompts.filter(({ pieces }) =>
      pieces.every((piece) => !('token' in piece && wrong.has(piece.token))),
    );
    expect(prompts.length).toBeGreaterThan(50);
    const texts = prompts.map(({ pieces }) =>
      pieces.map((piece) => ('token' in piece ? tokenizer.placeholder(piece.token) : piece.text)).join(''),
    );
    const got = await encodeEach((text) => tokenizer.encode([text]), texts);
    for (const [i, { ids, pieces }] of prompts.entries()) expect(got[i], JSON.stringify(pieces)).toEqual(ids);
  });

  it('ids decode to the text of Python', async () => {
    const tokenizer = await loadTokenizer(join(root, name));
    const { texts, prompts, sequences } = readCases(name);
    const wrong = new Set(misread(tokenizer).map(({ id }) => id));
    const wholes = [
      ...texts.map((one) => ({ ...one, decoded: one.decoded ?? one.text })),
      ...prompts.map((one) => ({
        ...one,
        decoded: one.decoded ?? one.pieces.map((piece) => ('token' in piece ? piece.token : piece.text)).join(''),
      })),
      ...sequences,
    ].filter(({ ids }) => !ids.some((id) => wrong.has(id)));
    for (const { ids, decoded, skipped } of wholes) {
      expect(tokenizer.decode(ids)).toBe(decoded);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(skipped ?? decoded);
    }
  });

  it('the second library gives the same ids, or refuses by name', async () => {
    const json = JSON.parse(readFileSync(join(root, name, 'tokenizer.json'), 'utf8'));
    const specials = addedTokens(json).filter(({ special }) => special);
    let codec: Codec;
    try {
      codec = xenovaLibrary().open(json, json);
    } catch (error) {
      expect((error as Error).message).toMatch(
        /^expected a tokenizer that @xenova\/transformers [\d.]+ reads as Python does, got /,
      );
      return;
    }
    const texts = readCases(name).texts.filter(({ text }) => !specials.some(({ content }) => text.includes(content)));
    const got = await encodeEach(
      (text) => codec.encode([text]),
      texts.map(({ text }) => text),
    );
    for (const [i, { text, ids }] of texts.entries()) {
      const one = got[i];
      if (typeof one === 'string')
        expect(one).toMatch(/reads as Python does, got (U\+FEFF|a digit|a letter, digit or mark of Unicode 17)/);
      else expect(one, JSON.stringify(text)).toEqual(ids);
    }
    expect(got.filter((one) => typeof one !== 'string').length).toBeGreaterThan(10);
  });
});
