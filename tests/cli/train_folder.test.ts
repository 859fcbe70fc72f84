// What else may happen to a run folder: a second process in it, a dead owner, a full disk.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { rocit } from '../support/cli.ts';
import { comparable, metricsRows, namesIn, stateOf, tinyRun, untilStderr } from '../training/tiny_run.ts';

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

describe('a run that holds nothing out', () => {
  const run = tinyRun({ data: { eval_split: null } });

  it('trains, saves and resumes without evaluations', async () => {
    const whole = await run.train();
    expect(whole).toMatchObject({ code: 0, stdout: 'run\n' });
    expect(whole.stderr).toContain('24 training samples, 0 held out');
    expect(whole.stderr).not.toContain('held-out loss');
    expect(namesIn(run.at('run'))).toEqual(['config.yaml', 'last', 'metrics.jsonl', 'step_000006', 'step_000008']);
    expect(metricsRows(run.at('run')).map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(metricsRows(run.at('run')).some((row) => 'eval_loss' in row)).toBe(false);
    const first = run.start(['output_dir=half']);
    await untilStderr(first, /\nstep 4: saved/);
    first.process.kill('SIGKILL');
    await first.done;
    expect((await run.train(['output_dir=half', '--resume'])).code).toBe(0);
    const adapterOf = (name: string) => readFileSync(run.at(name, 'last', 'adapter_model.safetensors'));
    expect(adapterOf('half').equals(adapterOf('run'))).toBe(true);
    const dry = await run.train(['--dry-run', '--json', 'output_dir=never']);
    expect(JSON.parse(dry.stdout)).toMatchObject({ evaluation_seconds: 0 });
    const score = await rocit(['score', 'config.yaml'], { cwd: run.folder });
    expect([score.code, score.stderr.includes('expected a held-out split, got none; set it')]).toEqual([2, true]);
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
  let isMounted = false;
  afterAll(() => {
    if (isMounted) execFileSync('umount', [disk]);
  });

  it('while saving loses nothing old, says so, and --resume ends as if nothing had happened', async ({ skip }) => {
    isMounted = mountTmpfs(disk, 1024);
    if (!isMounted) process.stderr.write('skipped: the test of a full disk, since this user may not mount a tmpfs\n');
    skip(!isMounted, 'this user may not mount a tmpfs');
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
  });

  /** Leaves room for small files, but not for a checkpoint. */
  function fill(path: string): void {
    const free = Number(execFileSync('df', ['--output=avail', '-k', disk], { encoding: 'utf8' }).split('\n')[1]);
    writeFileSync(path, Buffer.alloc((free - 40) * 1024));
  }
});
