// What stops a run from outside: signals, another process in its folder, a full disk. And what --resume makes of it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metricsRows, namesIn, stateOf, tinyRun, untilStderr } from '../training/tiny_run.ts';

/** No checkpoint is due before the last step, so that what a signal saves is seen. */
const RARELY = { training: { save_steps: 100, eval_steps: 4 } };
const LONGEST_STOP_MS = 10_000;

/** State without where and how often it was saved, which may change between the parts of a run. */
function comparable(run: string): unknown {
  const { state, ...rest } = stateOf(run);
  return { ...rest, state: String(state).replace(/"output_dir": .*/, '') };
}

describe('a signal', () => {
  const run = tinyRun(RARELY);
  let expected: unknown;
  beforeAll(async () => {
    expect(await run.train(['output_dir=undisturbed'])).toMatchObject({ code: 0 });
    expected = comparable(run.at('undisturbed'));
  });

  it.each([
    { signal: 'SIGINT', code: 130, moment: 'in a step', pattern: /\nstep 2\/8 / },
    { signal: 'SIGTERM', code: 143, moment: 'in an evaluation', pattern: /\nstep 4\/8 / },
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
      const step = [...stopped.stderr.matchAll(/\nstep (\d+)\/8 /g)].at(-1)?.[1];
      expect(stopped.stderr).toContain(`step ${step}: saved`);
      expect(readlinkSync(run.at(signal, 'last'))).toBe(`step_00000${step}`);
      expect(namesIn(run.at(signal)).filter((name) => name.startsWith('.'))).toEqual([]);
      const resumed = await run.train([`output_dir=${signal}`, '--resume']);
      expect(resumed).toMatchObject({ code: 0, stdout: `${signal}\n` });
      expect(resumed.stderr).toContain(`continuing after step ${step} of 8`);
      expect(comparable(run.at(signal))).toEqual(expected);
    },
  );

  it('before the first step leaves no checkpoint, and --resume starts', async () => {
    const started = run.start(['output_dir=early']);
    await untilStderr(started, /\n8 steps\n/);
    started.process.kill('SIGINT');
    const stopped = await started.done;
    expect(stopped).toMatchObject({ code: 130, stdout: '' });
    if (/\nstep 1\/8/.test(stopped.stderr)) return;
    expect(namesIn(run.at('early')).filter((name) => name.startsWith('step_'))).toEqual([]);
    const resumed = await run.train(['output_dir=early', '--resume']);
    expect(resumed.stderr).toContain('early: no checkpoint yet; starting from the beginning.');
    expect(comparable(run.at('early'))).toEqual(expected);
  });

  it('that comes twice ends the process at once, without saving', async () => {
    const started = run.start(['output_dir=twice']);
    await untilStderr(started, /\nstep 3\/8 /);
    // Both are there when the process wakes.
    started.process.kill('SIGSTOP');
    started.process.kill('SIGINT');
    started.process.kill('SIGTERM');
    started.process.kill('SIGCONT');
    const { code, stdout, stderr } = await started.done;
    expect([130, 143]).toContain(code);
    expect(stdout).toBe('');
    expect(stderr).not.toContain('saved');
    expect(namesIn(run.at('twice')).filter((name) => name.startsWith('step_'))).toEqual([]);
    expect(await run.train(['output_dir=twice', '--resume'])).toMatchObject({ code: 0 });
    expect(comparable(run.at('twice'))).toEqual(expected);
  });
});

describe('a second process in a run folder', () => {
  const run = tinyRun();

  it('is refused while the first one lives, whatever it asks for; the first one is not disturbed', async () => {
    const first = run.start();
    await untilStderr(first, /\n8 steps\n/);
    // Held still, so that it lives as long as this takes.
    first.process.kill('SIGSTOP');
    for (const flag of ['--resume', '--overwrite']) {
      const { code, stdout, stderr } = await run.train([flag]);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(
        new RegExp(
          `\\nrun: expected a folder that no other process trains in, got one locked by process ${first.process.pid} on .*; wait for it, stop it, or choose another output_dir.\\n$`,
        ),
      );
    }
    first.process.kill('SIGCONT');
    expect(await first.done).toMatchObject({ code: 0, stdout: 'run\n' });
    expect(metricsRows(run.at('run'))).toHaveLength(9);
  });

  it('takes over from a killed owner', async () => {
    const first = run.start(['output_dir=killed']);
    await untilStderr(first, /\nstep 2: saved/);
    first.process.kill('SIGKILL');
    await first.done;
    expect(namesIn(run.at('killed'))).toContain('.lock');
    const { code, stderr } = await run.train(['output_dir=killed', '--resume']);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      new RegExp(`killed: its last owner \\(process ${first.process.pid} on .*\\) is gone; taking over.`),
    );
    expect(namesIn(run.at('killed'))).not.toContain('.lock');
  });
});

/** Whether this user may mount; containers often forbid it. */
function mountTmpfs(path: string, kilobytes: number): boolean {
  mkdirSync(path, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kilobytes}k`, 'tmpfs', path], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('a full disk', () => {
  const run = tinyRun();
  const disk = run.at('disk');
  const isMounted = mountTmpfs(disk, 1024);
  if (!isMounted) process.stderr.write('skipped: the test of a full disk, since this user may not mount a tmpfs\n');
  afterAll(() => {
    if (isMounted) execFileSync('umount', [disk]);
  });

  it.skipIf(!isMounted)(
    'while saving loses nothing old, says so, and --resume ends as if nothing had happened',
    async () => {
      expect(await run.train()).toMatchObject({ code: 0 });
      const started = run.start(['output_dir=disk/run']);
      await untilStderr(started, /\nstep 3: saved/);
      started.process.kill('SIGKILL');
      await started.done;
      const before = stateOf(run.at('disk/run'));
      fill(run.at('disk/filling'));
      const { code, stdout, stderr } = await run.train(['output_dir=disk/run', '--resume']);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toMatch(
        /\ndisk\/run: expected room on the disk, got a full one \(ENOSPC.*\); free some and continue with --resume, nothing saved before is lost\.\n$/,
      );
      expect({ ...stateOf(run.at('disk/run')), metrics: null }).toEqual({ ...before, metrics: null });
      expect(namesIn(run.at('disk/run')).filter((name) => name.startsWith('.'))).toEqual([]);
      rmSync(run.at('disk/filling'));
      expect(await run.train(['output_dir=disk/run', '--resume'])).toMatchObject({ code: 0 });
      expect(comparable(run.at('disk/run'))).toEqual(comparable(run.at('run')));
    },
  );

  /** Leaves room for small files, but not for a checkpoint. */
  function fill(path: string): void {
    const free = Number(execFileSync('df', ['--output=avail', '-k', disk], { encoding: 'utf8' }).split('\n')[1]);
    writeFileSync(path, Buffer.alloc((free - 40) * 1024));
    expect(readFileSync(path).length).toBeGreaterThan(0);
  }
});
