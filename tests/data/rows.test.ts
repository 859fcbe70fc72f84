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
      { role: 'You are Mara.', question: 'Hi', row: 1 },
      { role: 'Mara', question: 'Hi', row: 2 },
    ]);
    expect(rows[0]?.messages[1]).toEqual({ role: 'user', content: 'Hi' });
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
