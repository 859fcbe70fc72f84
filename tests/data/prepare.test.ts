// From files to prepared splits: round trip, held-out fraction, freshness, damage, rows that are refused.
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { prepare } from '../../src/data/prepare.ts';
import type { DataSettings, PrepareOptions, PrepareProgress } from '../../src/data/prepare_options.ts';
import type { PreparedSplit } from '../../src/data/prepared.ts';
import type { TokenizedSample } from '../../src/data/sample.ts';
import { countTargets } from '../../src/data/tokenize.ts';
import { inRepository } from '../support/paths.ts';
import { sharedRolebench } from '../support/shared.ts';
import { temporaryFolder } from '../support/temporary.ts';

const root = temporaryFolder();
const tiny = inRepository('tests', 'goldens', 'tiny_tokenizer');
let folder = '';
let folders = 0;

beforeEach(() => {
  folder = join(root, `case-${folders++}`);
  mkdirSync(folder, { recursive: true });
});

const defaults: DataSettings = {
  source: 'rolebench',
  path: '',
  language: 'eng',
  generalization: 'instruction',
  kinds: ['general'],
  train_split: 'train',
  eval_split: null,
  eval_fraction: null,
  eval_sampling: 'per_role',
  answers: 'all',
  template: 'rolellama',
  template_date: '2024-07-26',
  max_seq_length: 1024,
  overflow: 'drop',
  on_bad_row: 'error',
};

interface Row {
  role: string;
  question: string;
  generated: string[];
}

function rowsOf(count: number, roles = 3): Row[] {
  return Array.from({ length: count }, (_, i) => ({
    role: `Role ${i % roles}`,
    question: `Question ${i}, 灯?`,
    generated: [`answer ${i}`, `another ${i} 火`].slice(0, 1 + (i % 2)),
  }));
}

function write(rows: Row[], split = 'train', kind = 'general'): void {
  const path = join(folder, 'data', 'rolebench-eng', 'instruction-generalization', kind, `${split}.jsonl`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
}

function run(data: Partial<DataSettings> = {}, options: Partial<PrepareOptions> = {}) {
  return prepare({
    data: { ...defaults, path: join(folder, 'data'), ...data },
    tokenizer_folder: tiny,
    seed: 0,
    cache_dir: join(folder, 'cache'),
    ...options,
  });
}

function samples(split: PreparedSplit | null): TokenizedSample[] {
  return Array.from({ length: split?.numSamples ?? 0 }, (_, i) => (split as PreparedSplit).sample(i));
}

describe('prepare', () => {
  it('gives every answer as a sample, in file order, with what it came from', async () => {
    write(rowsOf(5));
    const { train, eval: evaluation, tokenizer } = await run();
    expect(evaluation).toBeNull();
    const all = samples(train);
    expect(all.map(({ role, row, answer_index, question_id }) => [role, row, answer_index, question_id])).toEqual([
      ['Role 0', 1, 0, 0],
      ['Role 1', 2, 0, 1],
      ['Role 1', 2, 1, 1],
      ['Role 2', 3, 0, 2],
      ['Role 0', 4, 0, 3],
      ['Role 0', 4, 1, 3],
      ['Role 1', 5, 0, 4],
    ]);
    expect(all[5]?.question).toBe('Question 3, 灯?');
    const { input_ids, is_target } = all[5] as TokenizedSample;
    expect(tokenizer.decode([...input_ids].filter((_, t) => is_target[t] === 1))).toBe('another 3 火<|im_end|>');
    expect(tokenizer.decode([...input_ids])).toContain('You are Role 0. Now please');
    expect(train.roles).toEqual(['Role 0', 'Role 1', 'Role 2']);
    expect([...train.roleIds]).toEqual([0, 1, 1, 2, 0, 0, 1]);
    expect([...train.questionIds]).toEqual(all.map(({ question_id }) => question_id));
  });

  it('counts roles, questions, samples, tokens, targets, dropped and truncated', async () => {
    const long = { role: 'Role 0', question: 'q', generated: ['word '.repeat(400), ''] };
    write([...rowsOf(4), long]);
    const { train } = await run({ max_seq_length: 400 });
    const all = samples(train);
    expect(train.stats).toMatchObject({
      roles: 3,
      questions: 4,
      samples: 6,
      tokens: all.reduce((sum, { input_ids }) => sum + input_ids.length, 0),
      targets: all.reduce((sum, { is_target }) => sum + countTargets(is_target), 0),
      dropped: { too_long: 1, prompt_too_long: 0, empty_answer: 1, empty_question: 0, nothing_to_learn: 0 },
      refused: { bad_row: 0, bad_text: 0, template: 0, unproven: 0 },
      truncated: 0,
      answers: { masked: 0, blank: 0, rewritten: 0 },
      examples: [
        { kind: 'too_long', row: 5, sample: null, problem: expect.stringMatching(/^\d+ tokens$/) },
        { kind: 'empty_answer', row: 5, sample: null, problem: null },
      ],
    });
    const cut = await run({ max_seq_length: 400, overflow: 'truncate_answer' });
    expect([cut.train.stats.samples, cut.train.stats.truncated]).toEqual([7, 1]);
    await expect(run({ max_seq_length: 400, overflow: 'error' })).rejects.toThrow(
      /train\.jsonl:5: expected at most 400 tokens \(data\.max_seq_length\), got \d+; raise data\.max_seq_length/,
    );
  });

  it('takes the first answer only where it is asked to', async () => {
    write(rowsOf(10));
    expect((await run({ answers: 'first' })).train.numSamples).toBe(10);
  });

  it('uses descriptions, and says once how many roles have none', async () => {
    write(rowsOf(6));
    mkdirSync(join(folder, 'data', 'profiles-eng'));
    writeFileSync(join(folder, 'data', 'profiles-eng', 'desc.json'), '{"Role 0": "keeps the lamp"}');
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const first = await run();
    await run();
    const texts = said.mock.calls.map(([text]) => String(text));
    said.mockRestore();
    expect(texts.filter((text) => text.includes('no description for 2 of 3 roles'))).toHaveLength(1);
    const [text = '', other = ''] = samples(first.train).map(({ input_ids }) => first.tokenizer.decode([...input_ids]));
    expect(text).toContain('You are Role 0, your description is: keeps the lamp. Now');
    expect(other).toContain('You are Role 1. Now');
  });

  it('holds out whole questions of every role, on one side only', async () => {
    const doubled = rowsOf(60).flatMap((row) => [row, { ...row, generated: ['again'] }]);
    write(doubled);
    const { train, eval: evaluation } = await run({ eval_fraction: 0.1 });
    const key = ({ role, question }: TokenizedSample) => `${role}|${question}`;
    const [left, right] = [new Set(samples(train).map(key)), new Set(samples(evaluation).map(key))];
    expect(right.size).toBe(6);
    expect([...right].filter((question) => left.has(question))).toEqual([]);
    expect(train.numSamples + (evaluation?.numSamples ?? 0)).toBe(60 + 90);
    expect(new Set(samples(evaluation).map(({ role }) => role)).size).toBe(3);
    const again = await run({ eval_fraction: 0.1 }, { seed: 1 });
    expect(again.eval?.hash).not.toBe(evaluation?.hash);
  });

  it('reads a held-out file, general rows first', async () => {
    write(rowsOf(4));
    write(rowsOf(2), 'train', 'role_specific');
    write(rowsOf(2), 'test');
    write([{ role: 'X', question: 'x', generated: ['y'] }], 'test', 'role_specific');
    const { train, eval: evaluation } = await run({ kinds: ['general', 'role_specific'], eval_split: 'test' });
    expect(samples(train).map(({ row }) => row)).toEqual([1, 2, 2, 3, 4, 4, 1, 2, 2]);
    expect(samples(evaluation).map(({ role }) => role)).toEqual(['Role 0', 'Role 1', 'Role 1', 'X']);
  });

  it('reads chat rows from a folder and from one file', async () => {
    const row = (text: string) => ({
      messages: [
        { role: 'system', content: 'You are Mara.' },
        { role: 'user', content: text },
        { role: 'assistant', content: 'Hm.' },
      ],
    });
    mkdirSync(join(folder, 'data'));
    const path = join(folder, 'data', 'train.jsonl');
    writeFileSync(path, ['a', 'b', 'c', 'd'].map((text) => JSON.stringify(row(text))).join('\n'));
    const chat = { source: 'chat_jsonl', template: 'chat_template' } as const;
    const { train } = await run(chat);
    expect(samples(train).map(({ role, question }) => [role, question])).toContainEqual(['You are Mara.', 'c']);
    const single = await run({ ...chat, path, eval_fraction: 0.25 });
    expect([single.train.numSamples, single.eval?.numSamples]).toEqual([3, 1]);
    await expect(run({ ...chat, path, eval_split: 'test' })).rejects.toThrow(/set data\.eval_split=null/);
    const list = join(folder, 'list.json');
    writeFileSync(list, JSON.stringify(['a', 'b', 'c', 'd'].map(row)));
    const same = await run({ ...chat, path: list });
    expect(samples(same.train).map(({ input_ids }) => [...input_ids])).toEqual(
      samples(train).map(({ input_ids }) => [...input_ids]),
    );
  });

  it('refuses a split in which nothing is left, and missing files', async () => {
    write(rowsOf(3));
    await expect(run({ max_seq_length: 20 })).rejects.toThrow(
      'data: expected at least one sample in train (train), got none kept (too_long: 4); ' +
        'look at data.path, data.max_seq_length, data.overflow and data.on_bad_row.',
    );
    write([], 'empty');
    await expect(run({ eval_split: 'empty' })).rejects.toThrow(/in eval \(empty\), got no rows/);
    await expect(run({ eval_split: 'missing' })).rejects.toThrow(
      /missing\.jsonl: expected data rows, got no such file/,
    );
    expect(existsSync(join(folder, 'cache')) ? readdirSync(join(folder, 'cache')) : []).toEqual([]);
  });
});

describe('prepared folders', () => {
  it('are used again while nothing has changed', async () => {
    write(rowsOf(5));
    const first = await run();
    const second = await run();
    expect([first.isFresh, second.isFresh]).toEqual([false, true]);
    expect(samples(second.train)).toEqual(samples(first.train));
    expect(second.train.hash).toBe(first.train.hash);
  });

  it('are made again, which is said, when the source or the tokenizer has changed', async () => {
    write(rowsOf(5));
    const copy = join(folder, 'tokenizer');
    cpSync(tiny, copy, { recursive: true });
    await run({}, { tokenizer_folder: copy });
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    write([...rowsOf(4), { role: 'New', question: 'n', generated: ['m'] }]);
    const changed = await run({}, { tokenizer_folder: copy });
    const last = samples(changed.train).at(-1);
    appendFileSync(join(copy, 'tokenizer_config.json'), '\n');
    const again = await run({}, { tokenizer_folder: copy });
    const texts = said.mock.calls.map(([text]) => String(text)).join('');
    said.mockRestore();
    expect([changed.isFresh, again.isFresh]).toEqual([false, false]);
    expect(last?.role).toBe('New');
    expect(texts).toMatch(/made with another source data \w{8} → \w{8}; preparing again\./);
    expect(texts).toMatch(/made with another tokenizer \w{8} → \w{8}; preparing again\./);
    expect(readdirSync(join(folder, 'cache'))).toHaveLength(1);
  });

  it('are made again for other settings and another template', async () => {
    write(rowsOf(5));
    await run();
    expect((await run({ max_seq_length: 500 })).isFresh).toBe(false);
    expect((await run({ template: 'chat_template' })).isFresh).toBe(false);
    expect((await run()).isFresh).toBe(true);
  });

  it('without a manifest are made again', async () => {
    write(rowsOf(5));
    const first = await run();
    rmSync(join(first.folder, 'manifest.json'));
    expect((await run()).isFresh).toBe(false);
  });

  it('with a truncated, missing or damaged shard are refused', async () => {
    write(rowsOf(5));
    const first = await run();
    const shard = join(first.folder, 'train-00000.arrow');
    const bytes = first.train.stats.samples;
    expect(bytes).toBe(7);
    cpSync(shard, `${shard}.good`);
    truncateSync(shard, 1000);
    const text = await run().catch((error: Error) => error.message.replaceAll(first.folder, '<folder>'));
    expect(text).toMatchInlineSnapshot(
      `"<folder>/train-00000.arrow: expected 7682 bytes (7 samples), got 1000 bytes; the prepared data is truncated or damaged: delete <folder> and prepare again."`,
    );
    rmSync(shard);
    await expect(run()).rejects.toThrow(/got no such file; the prepared data is truncated or damaged/);
    cpSync(`${shard}.good`, shard);
    expect(samples((await run()).train)).toEqual(samples(first.train));
    const { writeSync, openSync, closeSync } = await import('node:fs');
    const fd = openSync(shard, 'r+');
    writeSync(fd, Buffer.from([255, 254]), 0, 2, 1200);
    closeSync(fd);
    const damaged = await run();
    expect(() => damaged.train.sample(0)).toThrow(/expected the hash \w{12}…, got \w{12}…; the prepared data/);
  });
});

describe('rows that are refused', () => {
  const messages = (...contents: string[]) =>
    contents.map((content, i) => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }));
  const twice = { messages: [{ role: 'user', content: 'a' }, ...messages('b', 'c')] };
  const strict =
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}" +
    "{{ raise_exception('Roles must alternate, friend.') }}{% endif %}{{ m.content + '<|im_end|>' }}{% endfor %}";

  async function chat(rows: unknown[], data: Partial<DataSettings> = {}) {
    const path = join(folder, 'rows.jsonl');
    writeFileSync(path, rows.map((row) => (typeof row === 'string' ? row : JSON.stringify(row))).join('\n'));
    const copy = join(folder, 'tokenizer');
    cpSync(tiny, copy, { recursive: true });
    writeFileSync(join(copy, 'chat_template.jinja'), strict);
    const settings = { source: 'chat_jsonl', template: 'chat_template', path, ...data } as const;
    return await run(settings, { tokenizer_folder: copy });
  }

  it('by the template: file, line and its own words, several in one error', async () => {
    const rows = [...Array.from({ length: 100 }, (_, i) => ({ messages: messages(`q ${i}`, 'a') })), twice, twice];
    const text = await chat(rows).catch((error: Error) => error.message.replaceAll(folder, '<folder>'));
    expect(text).toMatchInlineSnapshot(`
      "<folder>/rows.jsonl:101: expected messages that the chat template takes, got "Roles must alternate, friend."; change the row, or set data.template=rolellama.
      <folder>/rows.jsonl:102: expected messages that the chat template takes, got "Roles must alternate, friend."; change the row, or set data.template=rolellama."
    `);
  });

  it('are left out and counted by reason with on_bad_row drop', async () => {
    const lone = '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "\\ud83d"}]}';
    const rows = ['not json', { messages: messages('q', 'a') }, twice, lone];
    await expect(chat(rows)).rejects.toThrow(
      /rows\.jsonl:1: expected a JSON object.*\n.*:4: .*lone surrogate \\ud83d/s,
    );
    const { train } = await chat(rows, { on_bad_row: 'drop' });
    expect(train.stats.refused).toEqual({ bad_row: 1, bad_text: 1, template: 1, unproven: 0 });
    expect(train.stats.samples).toBe(1);
    const kinds = train.stats.examples.map(({ kind, row }) => [kind, row]);
    expect(kinds).toEqual([
      ['bad_row', 1],
      ['bad_text', 4],
      ['template', 3],
    ]);
  });

  it('name the reason where every row has a persona of its own', async () => {
    const persona = (i: number) => ({
      messages: [{ role: 'system', content: `You are ${i}.` }, ...messages('q', 'a')],
    });
    const rows = Array.from({ length: 40 }, (_, i) => persona(i));
    const plain = { template: 'rolellama', eval_fraction: 0.1 } as const;
    await expect(chat(rows, plain)).rejects.toThrow(
      /got one for every role \(rows with a persona each have a role each\); set data\.eval_sampling=across_roles/,
    );
    const { train, eval: evaluation } = await chat(rows, { ...plain, eval_sampling: 'across_roles' });
    expect([train.numSamples, evaluation?.numSamples]).toEqual([36, 4]);
  });
});

describe('a long stream', () => {
  it('keeps its order, and the progress ends at the end', async () => {
    write(rowsOf(3000, 7));
    let last: PrepareProgress | undefined;
    const onProgress = (progress: PrepareProgress) => {
      last = progress;
    };
    const { train } = await run({}, { onProgress });
    expect(samples(train).map(({ row }) => row)).toEqual(
      Array.from({ length: 3000 }, (_, i) => new Array<number>(1 + (i % 2)).fill(i + 1)).flat(),
    );
    expect(last?.bytes).toBe(last?.total_bytes);
    expect(last?.tokens).toBe(train.stats.tokens);
  });

  it('made by another tokenizer library is made again', async () => {
    write(rowsOf(5));
    const { folder: made } = await run();
    const path = join(made, 'manifest.json');
    writeFileSync(path, readFileSync(path, 'utf8').replace(/"tokenizers \d+\.\d+\.\d+"/, '"tokenizers 0.0.1"'));
    const said = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    expect((await run()).isFresh).toBe(false);
    const text = said.mock.calls.map(([line]) => String(line)).join('');
    said.mockRestore();
    expect(text).toMatch(/made with another tokenizer library tokenizers 0\.0\.1 → tokenizers \d/);
  });
});

describe('the released rows', () => {
  const path = sharedRolebench();
  it.skipIf(path === null)('are prepared in Chinese with descriptions, and both splits', async () => {
    const settings = { path: path ?? '', language: 'zh', kinds: ['role_specific'], eval_split: 'test' } as const;
    const { train, eval: evaluation, tokenizer } = await run(settings);
    expect([train.stats.samples, train.stats.roles, evaluation?.stats.roles]).toEqual([1535, 5, 5]);
    expect(tokenizer.decode([...train.sample(0).input_ids])).toContain('你是皇帝，你的特征描述是：一个典型的君王');
  });
});
