import { beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary.ts';
import { FETCH_LIMIT, fetchBase, SAMPLE, taskOf } from './smollm2.ts';

interface Answer {
  answer: string;
  finish_reason: string;
  new_tokens: number;
}

const GREEDY = ['--temperature', '0', '--json'];
const sample = taskOf('sample_smollm2.yaml', [SAMPLE], temporaryFolder());

async function ask(question: string, maxNewTokens: number): Promise<Answer> {
  const who = ['--role', 'Ondra Saltwick', '--question', question, '--max-new-tokens', String(maxNewTokens)];
  const { code, stdout, stderr } = await sample.run('generate', ...who, ...GREEDY);
  expect([code, stderr]).toEqual([0, expect.stringMatching(/^prompt \d+ tokens in /m)]);
  return JSON.parse(stdout) as Answer;
}

beforeAll(async () => {
  await fetchBase();
}, FETCH_LIMIT);

describe('rocit generate with the base, likeliest token each', () => {
  it('answers in words, cut at --max-new-tokens, and the same again', async () => {
    const question = 'What do you do when the fog comes in?';
    const first = await ask(question, 12);
    expect(first).toMatchObject({ finish_reason: 'length', new_tokens: 12 });
    expect(first.answer).toMatch(/\p{L}+ \p{L}+/u);
    const { answer, finish_reason, new_tokens } = await ask(question, 12);
    expect({ answer, finish_reason, new_tokens }).toEqual({
      answer: first.answer,
      finish_reason: 'length',
      new_tokens: 12,
    });
  });

  it('ends at the end token, of which nothing shows', async () => {
    const { answer, finish_reason, new_tokens } = await ask('What is the capital of France? Answer with one word.', 60);
    console.log(`answer of ${new_tokens} tokens: ${JSON.stringify(answer)}`);
    expect(finish_reason).toBe('stop');
    expect(new_tokens).toBeLessThan(60);
    expect(answer.trim()).not.toBe('');
    expect(answer).not.toContain('<|');
  });
});
