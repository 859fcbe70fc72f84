// RoleBench as released, where it lies beside the checkout: counts and token ids of what `rocit prepare` makes of it,
// against scripts/make_rolebench_goldens.py.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { inRepository } from '../support/paths.ts';
import { sharedRolebench } from '../support/shared.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { FETCH_LIMIT, fetchBase, type Task, taskOf } from './smollm2.ts';

interface Expected {
  rows: number;
  roles: number;
  /** Distinct questions of one role. */
  questions: number;
  /** Answers. */
  samples: number;
  tokens: number;
  targets: number;
  /** Over the sorted samples, `<ids> : <number of targets>` a line. */
  sha256: string;
}

type Counts = Pick<Expected, 'questions' | 'samples' | 'tokens' | 'targets'>;

const path = inRepository('tests', 'real', 'rolebench_smollm2.json');
const { files } = JSON.parse(readFileSync(path, 'utf8')) as { files: Record<string, Expected> };

const rolebench = sharedRolebench();
const folder = temporaryFolder();

function taskOn(config: string, ...overrides: string[]): Task {
  return taskOf(config, [`data.path=${rolebench}`, 'data.answers=all', ...overrides], folder);
}

function expectedOf(file: string): Expected {
  const expected = files[file];
  if (expected === undefined) throw new Error(`no golden of ${file}`);
  return expected;
}

function expectedCounts(file: string): Counts {
  const { questions, samples, tokens, targets } = expectedOf(file);
  return { questions, samples, tokens, targets };
}

/** The summary table by split; nothing may have been dropped or truncated. */
async function prepared(task: Task): Promise<Record<string, Counts & { roles: number }>> {
  const { code, stdout, stderr } = await task.run('prepare');
  expect([code, code === 0 ? '' : stderr]).toEqual([0, '']);
  const [head = '', ...lines] = stdout.trimEnd().split('\n');
  expect(head.split(/\s+/)).toEqual(
    'split roles questions samples tokens targets dropped refused truncated answers'.split(' '),
  );
  const rows = lines.map((line) => {
    const [split = '', ...figures] = line.split(/\s+/);
    const counts = figures.slice(0, 5).map((text) => Number(text.replaceAll(',', '')));
    const [roles = 0, questions = 0, samples = 0, tokens = 0, targets = 0] = counts;
    expect(figures.slice(5)).toEqual(['0', '0', '0', '–']);
    return [split, { roles, questions, samples, tokens, targets }] as const;
  });
  return Object.fromEntries(rows);
}

/** Counts of both splits together. */
function sumOf(splits: Record<string, Counts>): Counts {
  const total: Counts = { questions: 0, samples: 0, tokens: 0, targets: 0 };
  for (const split of Object.values(splits)) {
    for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += split[key];
  }
  return total;
}

function digest(...exported: string[]): string {
  const samples = exported
    .flatMap((text) => text.trimEnd().split('\n'))
    .map((line) => {
      const { input_ids, is_target } = JSON.parse(line) as { input_ids: number[]; is_target: number[] };
      return `${input_ids.join(' ')} : ${is_target.reduce((a, b) => a + b, 0)}`;
    });
  return createHash('sha256').update(samples.sort().join('\n')).digest('hex');
}

describe.skipIf(rolebench === null)('rocit prepare on RoleBench', () => {
  beforeAll(async () => {
    await fetchBase();
  }, FETCH_LIMIT);

  it('reads the English role-specific rows and holds out one question in twenty of each role', async () => {
    const file = 'rolebench-eng/instruction-generalization/role_specific/test.jsonl';
    expect(expectedOf(file)).toMatchObject({ rows: 4750, roles: 95 });
    const task = taskOn('rolebench_smollm2.yaml');
    const splits = await prepared(task);
    console.log(`English: ${JSON.stringify(splits)}`);
    expect(sumOf(splits)).toEqual(expectedCounts(file));
    expect([splits.train?.roles, splits.eval?.roles]).toEqual([95, 95]);
    const share = (splits.eval?.questions ?? 0) / expectedOf(file).questions;
    expect(Math.abs(share - 0.05)).toBeLessThan(0.01);
    expect(digest(task.samples('train'), task.samples('eval'))).toBe(expectedOf(file).sha256);
  });

  it('reads the Chinese role-specific rows with their descriptions, both splits as released', async () => {
    const [train, test] = ['train', 'test'].map((split) => `rolebench-zh/role_specific/${split}.jsonl`) as [
      string,
      string,
    ];
    expect([expectedOf(train), expectedOf(test)]).toMatchObject([
      { rows: 1535, roles: 5 },
      { rows: 239, roles: 5 },
    ]);
    const task = taskOn('sample_smollm2_zh.yaml', 'data.kinds=[role_specific]');
    const splits = await prepared(task);
    expect(splits.train).toEqual({ roles: 5, ...expectedCounts(train) });
    expect(splits.eval).toEqual({ roles: 5, ...expectedCounts(test) });
    expect(digest(task.samples('train'))).toBe(expectedOf(train).sha256);
    expect(digest(task.samples('eval'))).toBe(expectedOf(test).sha256);
  });

  it('reads the Chinese general rows with all their answers', async () => {
    const file = 'rolebench-zh/general/train.jsonl';
    expect(expectedOf(file)).toMatchObject({ rows: 5933, roles: 5 });
    const overrides = ['data.kinds=[general]', 'data.eval_split=null', 'data.eval_fraction=0.05'];
    const splits = await prepared(taskOn('sample_smollm2_zh.yaml', ...overrides));
    expect(sumOf(splits)).toEqual(expectedCounts(file));
    expect([splits.train?.roles, splits.eval?.roles]).toEqual([5, 5]);
  });

  it('finds the prepared rows again, and makes them no second time', async () => {
    const { stderr } = await taskOn('rolebench_smollm2.yaml').run('prepare');
    expect(stderr).toMatch(/^checkpoints\/\.prepared\/[0-9a-f]+ is up to date$/m);
  });
});
