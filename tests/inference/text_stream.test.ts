import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadTokenizer, type Tokenizer } from '../../src/data/tokenizer.ts';
import { type Decoder, TextStream } from '../../src/inference/text_stream.ts';
import { inRepository } from '../support/paths.ts';

const TEXTS = [
  'Hello, how are you?',
  '悟空一个筋斗云十万八千里。',
  '👩‍👩‍👧 café naïve 🐒🐉',
  ' two  blanks ',
  'ﷺ\n\tA',
  '',
];

/** Each token is one byte: the hardest cuts there can be. */
const bytes: Decoder = { decode: (ids) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(ids)) };

function pieces(decoder: Decoder, ids: readonly number[]): string[] {
  const stream = new TextStream(decoder);
  return [...ids.map((id) => stream.push(id)), stream.finish()];
}

describe.each(['tiny_tokenizer', 'tiny_tokenizer_llama'])('TextStream over %s', (name) => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await loadTokenizer(inRepository('tests', 'goldens', name));
  });
  const encode = async (text: string) => Array.from((await tokenizer.encode([text]))[0] ?? []);

  it.each(TEXTS)('pieces of %j add up to the text of all tokens', async (text) => {
    const ids = await encode(text);
    expect(pieces(tokenizer, ids).join('')).toBe(tokenizer.decode(ids));
  });

  it.each(TEXTS)('no piece of %j holds part of a character', async (text) => {
    for (const piece of pieces(tokenizer, await encode(text))) expect(piece).not.toContain('\ufffd');
  });

  it('hands text out as soon as it is whole, not at the end', async () => {
    const ids = await encode('Hello, how are you?');
    const stream = new TextStream(tokenizer);
    const early = ids.slice(0, 4).map((id) => stream.push(id));
    expect(early.join('')).toBe(tokenizer.decode(ids.slice(0, 4)));
  });

  it('leaves special tokens out', async () => {
    const ids = [...(await encode('Hi')), tokenizer.eosId, ...(await encode(' there'))];
    expect(pieces(tokenizer, ids).join('')).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }));
  });
});

describe('TextStream over single bytes', () => {
  it('gives each character whole, at its last byte', () => {
    expect(pieces(bytes, [...new TextEncoder().encode('aé猴🐒b')])).toEqual([
      ...['a', '', 'é', '', '', '猴', '', '', '', '🐒', 'b', ''],
    ]);
  });

  it('adds up to the whole text for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (text) => {
        const ids = [...new TextEncoder().encode(text)];
        const parts = pieces(bytes, ids);
        expect(parts.join('')).toBe(text);
        for (const part of parts) expect(part).not.toContain('\ufffd');
      }),
    );
  });

  it('adds up to the decoded text for any bytes, broken ones included', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (ids) => {
        expect(pieces(bytes, [...ids]).join('')).toBe(bytes.decode([...ids]));
      }),
    );
  });

  it('shows a character that never became whole as a replacement character', () => {
    expect(pieces(bytes, [0x61, 0xe7, 0x8c])).toEqual(['a', '', '', '\ufffd']);
  });
});
