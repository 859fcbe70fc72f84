// The study of roles_per_step: its table of known metrics, and on a tiny model, going on where it was stopped.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { writeJsonLines, writeTinyTask } from '../support/tiny_task.ts';

const folder = temporaryFolder();
writeTinyTask(folder);
const rows = Array.from({ length: 24 }, (_, i) => ({
  ...{ role: `Role ${i % 3}`, question: `Question ${i}?`, generated: [`Answer ${i}.`, 'No.'], type: 'script_based' },
}));
writeJsonLines(
  join(folder, 'bench', 'rolebench-eng', 'instruction-generalization', 'role_specific', 'test.jsonl'),
  rows,
);

function study(...args: string[]) {
  const flags = ['--config', 'config.yaml', '--output', 'study', '--roles', '1,null', '--seeds', '0'];
  const sizes = ['--samples', '16', '--samples-per-step', '8', '--eval-every', '1', '--held-out', '1'];
  const command = [inRepository('scripts', 'study_roles_per_step.mjs'), 'bench', ...flags, ...sizes, ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: folder, encoding: 'utf8' });
  return { status, stdout, stderr };
}

/** Two steps of 8 samples, with the evaluations around them. */
function writeMetrics(name: string, num_tokens: number, step_seconds: [number, number], losses: number[]): void {
  mkdirSync(join(folder, 'known', name), { recursive: true });
  const step = (i: number) => ({ num_samples: 8, num_tokens, step_seconds: step_seconds[i - 1] });
  const metrics = losses.map((eval_loss, i) => ({ step: i, eval_loss, ...(i > 0 && step(i)) }));
  writeJsonLines(join(folder, 'known', name, 'metrics.jsonl'), metrics);
}

it('counts time as computed tokens at the rate of steps that nothing slowed down', () => {
  writeMetrics('roles_1_seed_0', 100, [1, 1], [5, 4, 3]);
  writeMetrics('roles_null_seed_0', 300, [3, 30], [5, 4.4, 4.1]);
  const { stdout } = study('--output', 'known', '--table');
  expect(stdout.split('\n').filter((line) => line.startsWith('| '))).toEqual([
    '| roles_per_step | seeds | tokens a sample | samples/s | held-out loss, start | after 16 samples | after 2 s of steps at 100 tokens/s |',
    '| 1 | 1 | 13 ± 0 | 8.00 ± 0.00 | 5.0000 ± 0.0000 | 3.0000 ± 0.0000 | 3.0000 ± 0.0000 |',
    '| null | 1 | 38 ± 0 | 2.67 ± 0.00 | 5.0000 ± 0.0000 | 4.1000 ± 0.0000 | 4.6000 ± 0.0000 |',
  ]);
});

it('trains every run once on other rows than it evaluates, prints the table, and goes on where it was stopped', () => {
  const first = study();
  expect([first.status, first.stderr.match(/: saved/g)?.length]).toEqual([0, 4]);
  expect(
    first.stdout.replaceAll(/\d+\.\d+/g, 'x').replaceAll(/\d+ ± 0|\d+(?= tokens\/s)/g, 'n'),
  ).toMatchInlineSnapshot(`
    "| roles_per_step | seeds | tokens a sample | samples/s | held-out loss, start | after 16 samples | after 0 s of steps at n tokens/s |
    |---|---|---|---|---|---|---|
    | 1 | 1 | n | x ± x | x ± x | x ± x | x ± x |
    | null | 1 | n | x ± x | x ± x | x ± x | x ± x |

    ± is half the distance between the lowest and the highest seed.
    Seconds are computed tokens by one rate for all runs, the median of the fastest half of their steps.
    "
  `);
  const lines = (split: string) => {
    const path = join(folder, 'study', 'data', 'rolebench-eng', 'instruction-generalization', 'role_specific');
    return readFileSync(join(path, `${split}.jsonl`), 'utf8')
      .trimEnd()
      .split('\n');
  };
  expect([lines('train').length, lines('held_out').length]).toEqual([21, 3]);
  expect(new Set([...lines('train'), ...lines('held_out')]).size).toBe(24);

  rmSync(join(folder, 'study', 'roles_null_seed_0'), { recursive: true });
  const again = study();
  expect([again.status, again.stderr.match(/: saved/g)?.length]).toEqual([0, 2]);
  expect(again.stderr).not.toContain('roles_per_step 1,');
  expect(existsSync(join(folder, 'study', 'roles_null_seed_0', 'best'))).toBe(true);
  expect(study('--table').stdout).toBe(again.stdout);
}, 120_000);
