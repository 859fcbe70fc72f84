// Values out of JSON Lines and JSON lists: the same whatever the borders of the pieces, with their lines, and refused
// where they are no UTF-8 or do not end.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type JsonText, readJsonTexts } from '../../src/data/json_texts.ts';
import { temporaryFolder } from '../support/temporary.ts';

const folder = temporaryFolder();
const path = join(folder, 'rows.json');

async function textsOf(content: string | Uint8Array): Promise<JsonText[]> {
  writeFileSync(path, content);
  const texts: JsonText[] = [];
  for await (const text of readJsonTexts(path, 'chat rows')) texts.push(text);
  return texts;
}

const errorOf = (content: string | Uint8Array) =>
  textsOf(content).then(
    () => 'no error',
    (error: Error) => `${error.name}: ${error.message.replaceAll(folder, '<folder>')}`,
  );

describe('JSON Lines', () => {
  it('are numbered from 1, end with LF or CRLF, and may have empty ones between', async () => {
    expect(await textsOf('\ufeff{"a": 1}\n\n {"b": 2} \r\n{"c": "x\u2028y\u0085z"}')).toEqual([
      { text: '{"a": 1}', line: 1, element: null },
      { text: '{"b": 2}', line: 3, element: null },
      { text: '{"c": "x\u2028y\u0085z"}', line: 4, element: null },
    ]);
    expect(await textsOf('')).toEqual([]);
    expect(await textsOf(' \n\n')).toEqual([]);
  });

  it('keep characters of several bytes at the borders of the pieces', async () => {
    const text = `"${'x'.repeat((1 << 20) - 2)}皇帝"`;
    expect((await textsOf(text))[0]?.text).toBe(text);
  });
});

describe('a JSON list', () => {
  it('gives its elements with their lines and numbers, whatever they hold', async () => {
    const content = '[\n  {"a": "],}{[\\"\\\\"},\n  {"b": [1, {"c": 2}]}\n,3, "x,y"\n]\n';
    expect(await textsOf(content)).toEqual([
      { text: '{"a": "],}{[\\"\\\\"}', line: 2, element: 1 },
      { text: '{"b": [1, {"c": 2}]}', line: 3, element: 2 },
      { text: '3', line: 4, element: 3 },
      { text: '"x,y"', line: 4, element: 4 },
    ]);
    expect(await textsOf('[]')).toEqual([]);
    expect(await textsOf('\ufeff \n [ ]')).toEqual([]);
  });

  it('gives what JSON.parse gives, for any list', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue(), { maxLength: 12 }),
        fc.integer({ min: 0, max: 2 }),
        async (list, indent) => {
          const texts = await textsOf(JSON.stringify(list, null, indent));
          expect(texts.map(({ text }) => JSON.parse(text))).toEqual(JSON.parse(JSON.stringify(list)));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('of many megabytes in one line is read piece by piece', async () => {
    const element = JSON.stringify({ text: `${'灯 ]},"\\ '.repeat(40)}` });
    const count = 12_000;
    const list = `[${new Array(count).fill(element).join(',')}]`;
    expect(list.length).toBeGreaterThan(4 << 20);
    const texts = await textsOf(list);
    expect(texts).toHaveLength(count);
    expect(new Set(texts.map(({ text }) => text))).toEqual(new Set([element]));
  });

  it('that does not end, or goes on behind its end, is refused with the line', async () => {
    expect(await errorOf('[\n{"a": 1},\n{"b"')).toBe(
      'UserError: <folder>/rows.json:3: expected a list that ends with ], got the end of the file; chat rows are one JSON object a line, or one list of them.',
    );
    expect(await errorOf('[{"a": 1}]\n{"b": 2}')).toMatch(
      /rows\.json:2: expected the end of the file behind the list, got more text/,
    );
  });
});

describe('bytes that are not UTF-8', () => {
  const gbk = Buffer.from([0xc4, 0xe3, 0xba, 0xc3]);

  it('are refused with file, line and what they are', async () => {
    const content = Buffer.concat([Buffer.from('{"a": "灯"}\n{"b": "'), gbk, Buffer.from('"}\n')]);
    expect(await errorOf(content)).toBe(
      'UserError: <folder>/rows.json:2: expected chat rows in UTF-8, got the bytes 22 C4 E3 BA; convert the file from the ' +
        'encoding it has (often GB18030 or WINDOWS-1252): iconv -f GB18030 -t UTF-8 "<folder>/rows.json" > new_file',
    );
    expect(await errorOf(Buffer.concat([Buffer.from('[{"a": 1},\n"'), gbk, Buffer.from('"]')]))).toMatch(
      /rows\.json:2: /,
    );
    expect(await errorOf(Buffer.from('{"a": "caf\xe9"}', 'latin1'))).toMatch(
      /rows\.json:1: .* got the bytes 66 E9 22 7D;/,
    );
  });

  it('that are UTF-16 are called so', async () => {
    const text = 'expected chat rows in UTF-8, got UTF-16; convert it: iconv -f UTF-16 -t UTF-8';
    expect(await errorOf(Buffer.from('\ufeff{"a": 1}\n', 'utf16le'))).toContain(text);
    expect(await errorOf(Buffer.from('{"a": 1}\n', 'utf16le'))).toContain(text);
    expect(await errorOf(Buffer.from('{"a": 1}\n', 'utf16le').swap16())).toContain(text);
  });
});
