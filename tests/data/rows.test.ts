// Reading RoleBench and chat rows: every quirk of the release, and whole error texts for bad rows.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readChatJsonl } from '../../src/data/chat_jsonl.ts';
import { descriptionsFile, readDescriptions, readRoleBench, roleBenchFile } from '../../src/data/rolebench.ts';
import { sharedRolebench } from '../support/shared.ts';
import { temporaryFolder } from '../support/temporary.ts';

const root = temporaryFolder();
let folders = 0;

function rolebench(
  content: string,
  overrides: { language?: 'eng' | 'zh'; generalization?: 'instruction' | 'role' } = {},
) {
  const path = join(root, `rolebench-${folders++}`);
  const settings = { path, language: 'eng', generalization: 'instruction', kinds: ['general'], ...overrides } as const;
  for (const kind of ['general', 'role_specific'] as const) {
    const file = roleBenchFile(settings, kind, 'train');
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  return settings;
}

async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const row of rows) out.push(row);
  return out;
}

/** The text of the error, with the temporary folder cut out. */
async function errorOf(rows: AsyncIterable<unknown>): Promise<string> {
  try {
    await all(rows);
  } catch (error) {
    expect((error as Error).name).toBe('UserError');
    const text = (error as Error).message.replaceAll(root, '<root>').replace(/rolebench-\d+/g, 'rolebench');
    // The engine's own words differ between versions of Node.
    return text.replace(/("not json"), [^)]*\)/, '$1, …)');
  }
  throw new Error('no error came');
}

describe('RoleBench rows', () => {
  it('are stripped, unescaped, and keep their line', async () => {
    const settings = rolebench(
      '\uFEFF{"role": " Mara ", "question": " Mara, \\u4f60\\u597d? ", "generated": [" one ", "two"]}\r\n\n' +
        '{"role": "Mara", "question": "line\u2028separator", "generated": ["x"], "extra": 1}',
    );
    expect(await all(readRoleBench(settings, 'general', 'train'))).toEqual([
      {
        role: 'Mara',
        question: 'Mara, 你好?',
        answers: ['one', 'two'],
        kinds: ['general', 'general'],
        language: 'eng',
        split: 'train',
        file: roleBenchFile(settings, 'general', 'train'),
        row: 1,
      },
      expect.objectContaining({ question: 'line\u2028separator', row: 3 }),
    ]);
  });

  it('take their type as text, as a list, and as none at all', async () => {
    const row = (type: string) => `{"role": "M", "question": "q", "generated": ["a", "b"]${type}}\n`;
    const types = ['', ', "type": "script_based"', ', "type": ["script_based", "script_agnostic"]'];
    const settings = rolebench(types.map(row).join(''));
    const kinds = (await all(readRoleBench(settings, 'role_specific', 'train'))).map((sample) => sample.kinds);
    expect(kinds).toEqual([
      ['role_specific', 'role_specific'],
      ['script_based', 'script_based'],
      ['script_based', 'script_agnostic'],
    ]);
  });

  it('lie where the release has them', () => {
    const settings = { path: 'p', language: 'eng', generalization: 'role', kinds: ['general'] } as const;
    expect(roleBenchFile(settings, 'general', 'rolegpt_baseline')).toBe(
      join('p', 'rolebench-eng', 'role-generalization', 'general', 'rolegpt_baseline.jsonl'),
    );
    const zh = { ...settings, language: 'zh', generalization: 'instruction' } as const;
    expect(roleBenchFile(zh, 'role_specific', 'test')).toBe(join('p', 'rolebench-zh', 'role_specific', 'test.jsonl'));
    expect(() => roleBenchFile({ ...zh, generalization: 'role' }, 'general', 'test')).toThrow(/only the English half/);
  });

  it('that are bad are named together with line, expected and got', async () => {
    const settings = rolebench(
      [
        '{"role": "M", "question": "q", "generated": ["fine"]}',
        'not json',
        '[1]',
        '{"role": "M", "generated": ["a"]}',
        '{"role": "M", "question": "q", "generated": []}',
        '{"role": 7, "question": "q", "generated": ["a"]}',
        '{"role": "M", "question": "q", "generated": ["a", 3]}',
      ].join('\n'),
    );
    expect(await errorOf(readRoleBench(settings, 'general', 'train'))).toMatchInlineSnapshot(`
      "<root>/rolebench/rolebench-eng/instruction-generalization/general/train.jsonl:2: expected a JSON object, got text that is not JSON ("not json", …); fix or remove the row.
      <root>/rolebench/rolebench-eng/instruction-generalization/general/train.jsonl:3: expected a JSON object, got a list of 1; fix or remove the row.
      <root>/rolebench/rolebench-eng/instruction-generalization/general/train.jsonl:4: expected "question" as text, got no such field; fix or remove the row.
      <root>/rolebench/rolebench-eng/instruction-generalization/general/train.jsonl:5: expected "generated" as a list of at least one text, got an empty list; fix or remove the row.
      <root>/rolebench/rolebench-eng/instruction-generalization/general/train.jsonl:6: expected "role" as text, got 7; fix or remove the row.
      Reading stopped after 5 bad rows; there may be more."
    `);
  });

  it('name wrong types and an empty role', async () => {
    const settings = rolebench(
      [
        '{"role": "M", "question": "q", "generated": ["a"], "type": "other"}',
        '{"role": "M", "question": "q", "generated": ["a"], "type": ["script_based", "script_based"]}',
        '{"role": " ", "question": "q", "generated": ["a"]}',
        '{"role": "M", "question": "q", "generated": "a"}',
      ].join('\n'),
    );
    expect(await errorOf(readRoleBench(settings, 'role_specific', 'train'))).toMatchInlineSnapshot(`
      "<root>/rolebench/rolebench-eng/instruction-generalization/role_specific/train.jsonl:1: expected "type" as script_based or script_agnostic, got "other"; fix or remove the row.
      <root>/rolebench/rolebench-eng/instruction-generalization/role_specific/train.jsonl:2: expected "type" as one text or one for each of 1 answers, got a list of 2; fix or remove the row.
      <root>/rolebench/rolebench-eng/instruction-generalization/role_specific/train.jsonl:3: expected "role" as a name, got an empty text; fix or remove the row.
      <root>/rolebench/rolebench-eng/instruction-generalization/role_specific/train.jsonl:4: expected "generated" as a list of at least one text, got "a"; fix or remove the row."
    `);
  });

  it('that are a Git LFS pointer or missing are refused', async () => {
    const settings = rolebench('version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 67900000\n');
    expect(await errorOf(readRoleBench(settings, 'general', 'train'))).toMatchInlineSnapshot(
      `"<root>/rolebench/rolebench-eng/instruction-generalization/general/train.jsonl: expected RoleBench rows, got a Git LFS pointer to a file of 67900000 bytes; run \`git lfs pull\` where it was cloned, or download the file itself and put it here."`,
    );
    expect(await errorOf(readRoleBench(settings, 'general', 'valid'))).toMatchInlineSnapshot(
      `"<root>/rolebench/rolebench-eng/instruction-generalization/general/valid.jsonl: expected RoleBench rows, got no such file; check the path."`,
    );
  });
});

describe('role descriptions', () => {
  it('are read by role, and none when there is no desc.json', () => {
    const settings = rolebench('');
    expect(readDescriptions(settings)).toBeNull();
    mkdirSync(dirname(descriptionsFile(settings)), { recursive: true });
    writeFileSync(descriptionsFile(settings), '{"Mara": " keeps the lamp ", "Empty": " "}');
    expect([...(readDescriptions(settings) ?? [])]).toEqual([['Mara', 'keeps the lamp']]);
  });

  it('that are not texts are refused', () => {
    const settings = rolebench('');
    mkdirSync(dirname(descriptionsFile(settings)), { recursive: true });
    writeFileSync(descriptionsFile(settings), '{"Mara": ["x"]}');
    expect(() => readDescriptions(settings)).toThrow(
      /desc\.json: expected a text for each role, got Mara: a list of 1/,
    );
    writeFileSync(descriptionsFile(settings), 'version https://git-lfs.github.com/spec/v1\nsize 9\n');
    expect(() => readDescriptions(settings)).toThrow(/got a Git LFS pointer to a file of 9 bytes/);
  });
});

describe('chat rows', () => {
  it('keep their messages, and their role or else the system message', async () => {
    const path = join(root, 'chat.jsonl');
    const messages = [
      { role: 'system', content: 'You are Mara.' },
      { role: 'user', content: ' Hi ' },
      { role: 'assistant', content: 'Hm.' },
    ];
    writeFileSync(path, `${JSON.stringify({ messages })}\n${JSON.stringify({ messages, role: 'Mara' })}\n`);
    const rows = await all(readChatJsonl(path));
    expect(rows.map(({ role, question, row }) => ({ role, question, row }))).toEqual([
      { role: 'You are Mara.', question: ' Hi ', row: 1 },
      { role: 'Mara', question: ' Hi ', row: 2 },
    ]);
    // Contents stay as they are: an answer may begin with an indented line.
    expect(rows[0]?.messages[1]).toEqual({ role: 'user', content: ' Hi ' });
  });

  it('may be those of ShareGPT, with a system column, in a list of one line or of many', async () => {
    const turns = [
      { from: 'human', value: 'Hi' },
      { from: 'gpt', value: 'Hm.' },
    ];
    const rows = [
      { conversations: turns, system: 'You are Mara.' },
      { conversations: [{ from: 'system', value: 'S' }, ...turns] },
    ];
    const expected = ['You are Mara.', 'S'].map((content) => [
      { role: 'system', content },
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hm.' },
    ]);
    for (const indent of [0, 2]) {
      const path = join(root, `share_${indent}.json`);
      writeFileSync(path, `\ufeff ${JSON.stringify(rows, null, indent)}\n`);
      const read = await all(readChatJsonl(path));
      expect(read.map(({ messages }) => messages)).toEqual(expected);
      expect(read.map(({ row, line }) => [row, line])).toEqual(
        indent === 0
          ? [
              [1, 1],
              [2, 1],
            ]
          : [
              [1, 2],
              [2, 15],
            ],
      );
    }
  });

  it('say which answers are context only', async () => {
    const path = join(root, 'weights.jsonl');
    const turn = (extra: object) => ({
      messages: [
        { role: 'user', content: 'q' },
        { role: 'assistant', content: 'a', ...extra },
      ],
    });
    const extras = [
      { weight: 0 },
      { train: false },
      { loss: false },
      { weight: 1, train: true },
      { weight: null, tool_calls: [] },
    ];
    writeFileSync(path, extras.map((extra) => JSON.stringify(turn(extra))).join('\n'));
    const trains = (await all(readChatJsonl(path))).map(({ messages }) => messages[1]?.train);
    expect(trains).toEqual([false, false, false, undefined, undefined]);
  });

  it('with keys that change what a turn means are refused, and other keys are told', async () => {
    const path = join(root, 'keys.jsonl');
    const messages = [
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a' },
    ];
    const [first, second] = messages;
    const rows = [
      { messages, tools: [{ type: 'function' }] },
      { messages: [first, { ...second, tool_calls: [{ id: 1 }], reasoning_content: 'hm' }] },
      { messages: [{ ...first, images: ['a.png'] }, second] },
      { messages: [first, { ...second, weight: 0.5 }] },
      { messages: [{ ...first, train: true }, second] },
    ];
    writeFileSync(path, rows.map((row) => JSON.stringify(row)).join('\n'));
    expect(await errorOf(readChatJsonl(path))).toMatchInlineSnapshot(`
      "<root>/keys.jsonl:1: expected no keys that change what a turn means, got tools, which rocit does not read; fix or remove the row.
      <root>/keys.jsonl:2: expected no keys that change what a turn means, got "messages"[1].tool_calls, "messages"[1].reasoning_content, which rocit does not read; fix or remove the row.
      <root>/keys.jsonl:3: expected no keys that change what a turn means, got "messages"[0].images, which rocit does not read; fix or remove the row.
      <root>/keys.jsonl:4: expected "messages"[1].weight as 0 or 1, or true or false, got 0.5; fix or remove the row.
      <root>/keys.jsonl:5: expected "weight", "train" or "loss" of 1 on answers alone, got one in "messages"[0] of "user"; fix or remove the row.
      Reading stopped after 5 bad rows; there may be more."
    `);
    const more = [
      { messages: [{ role: 'tool', content: 'x' }, second] },
      { messages, conversations: [{ from: 'human', value: 'x' }] },
      { messages: [{ role: 'system', content: 's' }, ...messages], system: 't' },
      { messages: [first, { ...second, weight: 0, train: true }] },
    ];
    writeFileSync(path, more.map((row) => JSON.stringify(row)).join('\n'));
    expect(await errorOf(readChatJsonl(path))).toMatchInlineSnapshot(`
      "<root>/keys.jsonl:1: expected "messages"[0].role as system, user, assistant, got "tool"; fix or remove the row.
      <root>/keys.jsonl:2: expected "messages" or "conversations", got both; fix or remove the row.
      <root>/keys.jsonl:3: expected "system" or a message of "system", got both; fix or remove the row.
      <root>/keys.jsonl:4: expected "messages"[1] to be learnt or not, got both; fix or remove the row."
    `);
    writeFileSync(path, JSON.stringify({ messages, id: 7, source: 'web', images: [], tools: null }));
    const keys = new Set<string>();
    await all(readChatJsonl(path, { onIgnoredKey: (key) => keys.add(key) }));
    expect([...keys]).toEqual(['id', 'source', 'images', 'tools']);
  });

  it('with what is no text are refused, also as a role or in RoleBench', async () => {
    const path = join(root, 'surrogate.jsonl');
    const row = (text: string) =>
      `{"messages": [{"role": "user", "content": "${text}"}, {"role": "assistant", "content": "a"}]}`;
    writeFileSync(path, [row('\\ud83d'), row('a \\udc00 b'), row('\\ufdd0'), row('\\ud83d\\udc12')].join('\n'));
    expect(await errorOf(readChatJsonl(path))).toMatchInlineSnapshot(`
      "<root>/surrogate.jsonl:1: expected "messages"[0].content as text, got the lone surrogate \\ud83d in it; fix or remove the row.
      <root>/surrogate.jsonl:2: expected "messages"[0].content as text, got the lone surrogate \\udc00 in it; fix or remove the row.
      <root>/surrogate.jsonl:3: expected "messages"[0].content as text, got the noncharacter U+FDD0 in it; fix or remove the row."
    `);
    const settings = rolebench('{"role": "M", "question": "q", "generated": ["a", "\\ud83d"]}');
    expect(await errorOf(readRoleBench(settings, 'general', 'train'))).toMatch(
      /train\.jsonl:1: expected "generated"\[1\] as text, got the lone surrogate \\ud83d in it;/,
    );
  });

  it('that are bad are named', async () => {
    const path = join(root, 'bad_chat.jsonl');
    const rows = [
      '{"messages": []}',
      '{"messages": [{"role": "user", "content": "x"}]}',
      '{"messages": [{"role": "bot", "content": "x"}]}',
      '{"messages": [{"role": "user", "content": ["x"]}]}',
    ];
    writeFileSync(path, rows.join('\n'));
    expect(await errorOf(readChatJsonl(path))).toMatchInlineSnapshot(`
      "<root>/bad_chat.jsonl:1: expected "messages" as a list of at least one message, got an empty list; fix or remove the row.
      <root>/bad_chat.jsonl:2: expected at least one message of "assistant", got none; fix or remove the row.
      <root>/bad_chat.jsonl:3: expected "messages"[0].role as system, user, assistant, got "bot"; fix or remove the row.
      <root>/bad_chat.jsonl:4: expected "messages"[0].content as text, got a list of 1; fix or remove the row."
    `);
  });
});

describe('the released rows', () => {
  const path = sharedRolebench();
  const files = [
    { language: 'eng', kind: 'role_specific', split: 'test', rows: 4750, roles: 95 },
    { language: 'eng', kind: 'role_specific', split: 'rolegpt_baseline', rows: 4750, roles: 95 },
    { language: 'zh', kind: 'general', split: 'train', rows: 5933, roles: 5 },
    { language: 'zh', kind: 'role_specific', split: 'train', rows: 1535, roles: 5 },
    { language: 'zh', kind: 'role_specific', split: 'test', rows: 239, roles: 5 },
  ] as const;
  it.skipIf(path === null).each(files)('$language $kind $split: $rows rows, $roles roles', async (file) => {
    const settings = { path: path ?? '', language: file.language, generalization: 'instruction', kinds: [] } as const;
    const rows = await all(readRoleBench(settings, file.kind, file.split));
    expect(rows.length).toBe(file.rows);
    expect(new Set(rows.map(({ role }) => role)).size).toBe(file.roles);
    expect(
      rows.every(({ question, answers, kinds }) => question === question.trim() && answers.length === kinds.length),
    );
  });
});
