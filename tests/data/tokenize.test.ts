// What becomes of conversations: dropped, truncated, kept; and what is held out.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { drawHeldOut, questionKey } from '../../src/data/held_out.ts';
import { createPromptEncoder } from '../../src/data/prompt.ts';
import type { Conversation } from '../../src/data/sample.ts';
import { promptTemplate } from '../../src/data/templates.ts';
import { countTargets, type Overflow, tokenizeBatch } from '../../src/data/tokenize.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { inRepository } from '../support/paths.ts';

const tokenizer = await loadTokenizer(join(inRepository('tests', 'goldens'), 'tiny_tokenizer'));
const encoder = createPromptEncoder(tokenizer, promptTemplate('rolellama', 'eng', null));

function conversation(question: string, answer: string, row = 1): Conversation {
  const messages = [
    { role: 'user' as const, content: question },
    { role: 'assistant' as const, content: answer },
  ];
  return { role: 'M', question, messages, answer_index: 0, row, file: 'f.jsonl' };
}

function tokenize(rows: Conversation[], max_seq_length: number, overflow: Overflow) {
  return tokenizeBatch(encoder, rows, { max_seq_length, overflow });
}

describe('tokenizeBatch', () => {
  const rows = [conversation('q', 'short'), conversation('q', 'a long answer '.repeat(20)), conversation('', 'x')];

  it('drops what is too long or empty, with the reason', () => {
    const batch = tokenize([...rows, conversation('q', ' ')], 40, 'drop');
    expect(batch.dropped).toEqual([null, 'too_long', 'empty_question', 'empty_answer']);
    expect([...batch.lengths].map((length) => length > 0)).toEqual([true, false, false, false]);
    expect(batch.input_ids.length).toBe(batch.lengths[0]);
    expect(batch.too_long).toBeNull();
  });

  it('cuts an answer at the limit, without an end token', () => {
    const batch = tokenize(rows.slice(1, 2), 40, 'truncate_answer');
    expect([...batch.lengths, ...batch.is_truncated]).toEqual([40, 1]);
    const whole = encoder.encode(rows[1]?.messages ?? []);
    expect([...batch.input_ids]).toEqual(whole.input_ids.slice(0, 40));
    expect(batch.input_ids[39]).not.toBe(tokenizer.eosId);
  });

  it('drops a sample whose targets would all be cut away', () => {
    const batch = tokenize([conversation('question '.repeat(40), 'a')], 40, 'truncate_answer');
    expect(batch.dropped).toEqual(['prompt_too_long']);
  });

  it('reports the first sample that is too long where that is an error', () => {
    expect(tokenize(rows, 40, 'error').too_long).toMatchObject({ file: 'f.jsonl', row: 1 });
  });
});

describe('countTargets', () => {
  it('leaves out a first token, which nothing predicts', () => {
    expect(countTargets([1, 1, 0, 1])).toBe(2);
  });
});

describe('drawHeldOut', () => {
  async function* stream(rows: { role: string; question: string }[]) {
    yield* rows;
  }
  const rows = ['A', 'B', 'C'].flatMap((role) =>
    Array.from({ length: role === 'C' ? 1 : 40 }, (_, q) => ({ role, question: `question ${q}` })),
  );

  it('takes its share of every role, whole questions, never all', async () => {
    const keys = await drawHeldOut(stream([...rows, ...rows]), 0.1, 0);
    const held = rows.filter((row) => keys.has(questionKey(row)));
    expect(held.filter(({ role }) => role === 'A')).toHaveLength(4);
    expect(held.filter(({ role }) => role === 'B')).toHaveLength(4);
    expect(held.filter(({ role }) => role === 'C')).toHaveLength(0);
    expect(keys.size).toBe(8);
  });

  it('is fixed by the seed, whatever the order of the rows', async () => {
    const keys = await drawHeldOut(stream(rows), 0.1, 3);
    expect(await drawHeldOut(stream(rows.toReversed()), 0.1, 3)).toEqual(keys);
    expect(await drawHeldOut(stream(rows), 0.1, 4)).not.toEqual(keys);
  });

  it('takes at least one question of a role that has two', async () => {
    expect((await drawHeldOut(stream(rows.slice(0, 2)), 0.01, 0)).size).toBe(1);
  });
});
