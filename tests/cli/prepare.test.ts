// `rocit prepare` as a user runs it: samples with their targets, the table, freshness, mistakes.
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rocit } from '../support/cli.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

const root = temporaryFolder();
const train = join(root, 'data', 'rolebench-eng', 'instruction-generalization', 'general', 'train.jsonl');
mkdirSync(dirname(train), { recursive: true });
const row = (i: number) => ({
  ...{ role: `Role ${i % 2}`, question: `Question ${i}?` },
  generated: i === 2 ? ['Answer 2.', 'No.'] : [`Answer ${i}.`],
});
writeFileSync(train, Array.from({ length: 40 }, (_, i) => JSON.stringify(row(i))).join('\n'));
const config = {
  model: { base: inRepository('tests', 'goldens', 'tiny_tokenizer') },
  data: { path: 'data', kinds: ['general'], eval_split: null, eval_fraction: 0.1 },
  output_dir: 'checkpoints/run',
};
writeFileSync(join(root, 'run.yaml'), JSON.stringify(config));

const run = (args: string[], env = {}) => rocit(['prepare', 'run.yaml', ...args], { cwd: root, env });

describe('rocit prepare', () => {
  it('prints samples with their targets marked, counts, and a table with both splits', async () => {
    const { code, stdout, stderr } = await run(['--show', '4']);
    expect([code, stdout.match(/── sample/g)?.length]).toEqual([0, 4]);
    expect(stdout).toMatch(
      /── sample 0: Role 0, row 1, answer 0: \d+ tokens, \d+ targets\n### Instruction:\nYou are Role 0\./,
    );
    expect(stdout).toContain('### Response:\n⟦Answer 0.<|im_end|>⟧');
    expect(stdout).toMatch(/split +roles +questions +samples +tokens +targets +dropped +refused +truncated +answers\n/);
    expect(stdout).toMatch(/train +2 +36 +37 +[\d,]+ +[\d,]+ +0 +0 +0 +–\neval +2 +4 +4 /);
    expect(stderr).toMatch(
      /\npacking tree: \d+ → \d+ tokens a sample \(\d+\.\d times fewer\), 1\.0 packs a step, \d+ % full, over 1 step\n/,
    );
    expect(stderr).toContain('no description for 2 of 2 roles; their prompt has the name only.');
  });

  it('draws the tree of the samples it printed: roles, questions, answers, what is shared', async () => {
    const { stdout } = await run(['--show', '4']);
    const tree = stdout.slice(stdout.indexOf('── prefix tree'), stdout.indexOf('\nsplit'));
    expect(tree.replaceAll(/\d+ tokens|\d+ → \d+/g, 'N')).toMatchInlineSnapshot(`
      "── prefix tree of 4 samples: N tokens to compute
      "### Instruction: You are Role": N, shared by 4 samples
      ├─ Role 0: N, shared by 3 samples
      │  ├─ "Question 0?": N · answer 0: N
      │  └─ "Question 2?": N, shared by 2 samples
      │     ├─ answer 0: N
      │     └─ answer 1: N
      └─ Role 1 · "Question 1?": N · answer 0: N
      "
    `);
    const [, before, after] = /: (\d+) → (\d+) tokens to compute/.exec(tree) ?? [];
    const counts = [...tree.matchAll(/: (\d+) tokens/g)].map(([, count]) => Number(count));
    expect(counts.reduce((a, b) => a + b, 0)).toBe(Number(after));
    expect(Number(after)).toBeLessThan(0.7 * Number(before));
  });

  it('colours targets where colours are on, and does nothing twice', async () => {
    const { stdout, stderr } = await run(['--show', '1'], { FORCE_COLOR: '1' });
    expect(stdout).toContain('\u001b[32mAnswer 0.<|im_end|>\u001b[39m');
    expect(stderr).toContain('is up to date');
  });

  it('counts what is dropped, by reason', async () => {
    const { stdout } = await run(['data.max_seq_length=300', 'data.eval_fraction=0.05']);
    expect(stdout).toMatch(/^train /m);
    const none = await run(['data.max_seq_length=20']);
    expect([none.code, none.stdout]).toEqual([2, '']);
    expect(none.stderr).toContain('got none kept (too_long: 37)');
  });

  it('draws a row of each thing that happened to rows and answers, and counts them', async () => {
    const talk = (...turns: object[]) => ({
      messages: [{ role: 'user', content: 'q' }, ...turns.map((turn) => ({ role: 'assistant', ...turn }))],
    });
    const rows = [
      talk({ content: 'plain' }),
      talk({ content: 'context', weight: 0 }, { content: 'learnt' }),
      talk({ content: ' ' }, { content: 'said' }),
      talk({ content: '' }),
      talk({ content: 'tools', tool_calls: [1] }),
    ];
    writeFileSync(join(root, 'chat.jsonl'), rows.map((one) => JSON.stringify(one)).join('\n'));
    const chat = ['data.source=chat_jsonl', 'data.path=chat.jsonl', 'data.eval_fraction=null', 'data.on_bad_row=drop'];
    const { code, stdout } = await run([...chat, '--show', '1']);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /── train, masked: , row 2, .*\n(.*\n)*?.*context<\|im_end\|>\n\n### Response:\n⟦learnt<\|im_end\|>⟧/,
    );
    expect(stdout).toMatch(/── train, blank: , row 3, /);
    expect(stdout).toMatch(/── train, empty_answer: chat\.jsonl:4\n/);
    expect(stdout).toMatch(
      /── train, bad_row: chat\.jsonl:5: expected no keys that change .* "messages"\[1\]\.tool_calls/,
    );
    expect(stdout).toMatch(/train +1 +1 +3 .* 1 \(1 empty_answer\) +1 \(1 bad_row\) +0 +1 masked, 1 blank\n/);
  });

  it('refuses a truncated shard and a missing file without a stack', async () => {
    const { stderr } = await run(['training.seed=1']);
    const shards = /(checkpoints\S+): [\d,]+ tokens in/.exec(stderr)?.[1] ?? '';
    truncateSync(join(root, shards, 'train-00000.arrow'), 100);
    const damaged = await run(['training.seed=1']);
    expect(damaged.code).toBe(2);
    expect(damaged.stderr).toMatch(
      /train-00000\.arrow: expected \d+ bytes \(37 samples\), got 100 bytes; .* prepare again\./,
    );
    const missing = await run(['data.train_split=other']);
    expect([missing.code, missing.stderr.includes('    at ')]).toEqual([2, false]);
    expect(missing.stderr).toContain('other.jsonl: expected data rows, got no such file');
  });
});
