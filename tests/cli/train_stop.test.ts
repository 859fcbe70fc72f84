// Signals stop a run after saving its last finished step, and --resume goes on as if nothing had happened.
import { readlinkSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { comparable, namesIn, tinyRun, untilStderr } from '../training/tiny_run.ts';

/** No checkpoint is due before the last step, so that what a signal saves is seen; long enough for it to come in time. */
const RARELY = { training: { num_epochs: 20, save_steps: 100, eval_steps: 4 } };
const LONGEST_STOP_MS = 10_000;

describe('a signal', () => {
  const run = tinyRun(RARELY);
  let expected: unknown;
  beforeAll(async () => {
    expect(await run.train(['output_dir=undisturbed'])).toMatchObject({ code: 0 });
    expected = comparable(run.at('undisturbed'));
  });

  it.each([
    { signal: 'SIGINT', code: 130, moment: 'in a step', pattern: /\nstep 2\/80 / },
    { signal: 'SIGTERM', code: 143, moment: 'in an evaluation', pattern: /\nstep 4\/80 / },
  ] as const)(
    '$signal $moment saves the last finished step within 10 s, and --resume ends as if nothing had happened',
    async ({ signal, code, pattern }) => {
      const started = run.start([`output_dir=${signal}`]);
      await untilStderr(started, pattern);
      const asked = performance.now();
      started.process.kill(signal);
      const stopped = await started.done;
      expect(performance.now() - asked).toBeLessThan(LONGEST_STOP_MS);
      expect(stopped).toMatchObject({ code, stdout: '' });
      const step = [...stopped.stderr.matchAll(/\nstep (\d+)\/80 /g)].at(-1)?.[1];
      expect(stopped.stderr).toContain(`step ${step}: saved`);
      expect(readlinkSync(run.at(signal, 'last'))).toBe(`step_${String(step).padStart(6, '0')}`);
      expect(namesIn(run.at(signal)).filter((name) => name.startsWith('.'))).toEqual([]);
      const resumed = await run.train([`output_dir=${signal}`, '--resume']);
      expect(resumed).toMatchObject({ code: 0, stdout: `${signal}\n` });
      expect(resumed.stderr).toContain(`continuing after step ${step} of 80`);
      expect(comparable(run.at(signal))).toEqual(expected);
    },
  );

  it('before the first step leaves no checkpoint, and --resume starts', async () => {
    const started = run.start(['output_dir=early']);
    await untilStderr(started, /\n80 steps\n/);
    started.process.kill('SIGINT');
    const stopped = await started.done;
    expect(stopped).toMatchObject({ code: 130, stdout: '' });
    if (/\nstep 1\/80 /.test(stopped.stderr)) return;
    expect(namesIn(run.at('early')).filter((name) => name.startsWith('step_'))).toEqual([]);
    const resumed = await run.train(['output_dir=early', '--resume']);
    expect(resumed.stderr).toContain('early: no checkpoint yet; starting from the beginning.');
    expect(comparable(run.at('early'))).toEqual(expected);
  });

  it('that comes twice ends the process at once, without saving', async () => {
    const started = run.start(['output_dir=twice']);
    await untilStderr(started, /\nstep 3\/80 /);
    // Both are there when the process wakes.
    started.process.kill('SIGSTOP');
    started.process.kill('SIGINT');
    started.process.kill('SIGTERM');
    started.process.kill('SIGCONT');
    const { code, stdout, stderr } = await started.done;
    expect([130, 143]).toContain(code);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/: stopping; once more ends at once\.\n$/);
    expect(await run.train(['output_dir=twice', '--resume'])).toMatchObject({ code: 0 });
    expect(comparable(run.at('twice'))).toEqual(expected);
  });
});
