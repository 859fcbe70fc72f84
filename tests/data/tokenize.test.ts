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

  it('drops what is too long, empty or not learnt, with the reason', async () => {
    const context = conversation('q', 'context only');
    context.messages = context.messages.map((message) => ({ ...message, train: false }));
    const outcomes = await tokenize([...rows, conversation('q', ' '), context], 40, 'drop');
    expect(outcomes.map((one) => (one.kind === 'dropped' ? one.reason : one.kind))).toEqual([
      ...['sample', 'too_long', 'empty_question', 'empty_answer', 'nothing_to_learn'],
    ]);
  });

  it('cuts an answer at the limit, without an end token', async () => {
    const [one] = await tokenize(rows.slice(1, 2), 40, 'truncate_answer');
    const [whole] = await encoder.encode([rows[1]?.messages ?? []]);
    if (one?.kind !== 'sample' || whole === undefined || whole instanceof Error) throw new Error('no sample');
    expect([one.input_ids.length, one.isTruncated]).toEqual([40, true]);
    expect(one.input_ids).toEqual(whole.input_ids.slice(0, 40));
    expect(one.input_ids[39]).not.toBe(tokenizer.eosId);
  });

  it('drops a sample whose targets would all be cut away', async () => {
    const outcomes = await tokenize([conversation('question '.repeat(40), 'a')], 40, 'truncate_answer');
    expect(outcomes).toMatchObject([{ kind: 'dropped', reason: 'prompt_too_long' }]);
  });

  it('refuses a text that no tokenizer may see, and keeps its neighbours', async () => {
    const outcomes = await tokenize([rows[0] as Conversation, conversation('q', 'a \uFDD0 b')], 40, 'drop');
    expect(outcomes.map(({ kind }) => kind)).toEqual(['sample', 'refused']);
  });

  it('counts answers that are context only, and blank ones', async () => {
    const long = conversation('q', 'first');
    long.messages.push({ role: 'user', content: 'r' }, { role: 'assistant', content: '  ' });
    long.messages.push({ role: 'user', content: 's' }, { role: 'assistant', content: 'context', train: false });
    const [one] = await tokenize([long], 400, 'drop');
    expect(one).toMatchObject({ kind: 'sample', notes: { masked: 1, blank: 1, rewritten: 0 } });
    if (one?.kind !== 'sample') throw new Error('no sample');
    const learnt = [...one.input_ids].filter((_, t) => one.is_target[t] === 1);
    expect(tokenizer.decode(learnt)).toBe('first<|im_end|>');
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

  it('takes its share of all questions together where roles have one each', async () => {
    const personas = Array.from({ length: 40 }, (_, i) => ({ role: `persona ${i}`, question: 'Who are you?' }));
    expect((await drawHeldOut(stream(personas), 0.1, 0)).size).toBe(0);
    const keys = await drawHeldOut(stream(personas), 0.1, 0, 'across_roles');
    expect(keys.size).toBe(4);
    expect(personas.filter((row) => keys.has(questionKey(row)))).toHaveLength(4);
  });

  it('takes at least one question of a role that has two', async () => {
    expect((await drawHeldOut(stream(rows.slice(0, 2)), 0.01, 0)).size).toBe(1);
  });
});
