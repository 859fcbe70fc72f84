// A bootstrap of this checkout that finds everything done, and the summed line of .ci/run.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

function bootstrap(): { code: number | null; stderr: string; seconds: number } {
  const start = performance.now();
  const { status, stderr } = spawnSync(process.execPath, [inRepository('scripts/bootstrap.mjs')], { encoding: 'utf8' });
  return { code: status, stderr, seconds: (performance.now() - start) / 1000 };
}

describe('a second bootstrap', () => {
  it('does nothing and takes less than three seconds', () => {
    expect(bootstrap().code).toBe(0);
    const { code, stderr, seconds } = bootstrap();
    expect(code).toBe(0);
    expect(stderr).not.toContain('…');
    expect(stderr).toMatch(/^bootstrap: ready \(\d\.\d s\)\n$|^bootstrap: expected /);
    expect(seconds).toBeLessThan(3);
  }, 600_000);

  it('refuses a flag it does not know', () => {
    const { status, stderr } = spawnSync(process.execPath, [inRepository('scripts/bootstrap.mjs'), '--gpus'], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('bootstrap: expected --gpu or --cpu, got --gpus.\n');
    expect(status).toBe(2);
  });
});

describe('the summed line', () => {
  const folder = temporaryFolder();
  cpSync(inRepository('scripts'), join(folder, 'scripts'), { recursive: true });
  mkdirSync(join(folder, 'build/reports'), { recursive: true });
  const sum = (...parts: string[]) => {
    const { status, stdout } = spawnSync(process.execPath, [join(folder, 'scripts/reports.mjs'), ...parts], {
      encoding: 'utf8',
    });
    return { code: status, last: stdout.trimEnd().split('\n').at(-1) };
  };
  const report = (part: string, passed: number, failed: number, skipped: number) =>
    writeFileSync(join(folder, `build/reports/${part}.json`), JSON.stringify({ passed, failed, skipped }));

  it('adds the parts', () => {
    report('test', 10, 0, 1);
    report('test_native', 5, 0, 2);
    expect(sum('test=0', 'test_native=0')).toEqual({ code: 0, last: '15 passed, 0 failed, 3 skipped' });
  });

  it('fails when a test failed', () => {
    report('test', 10, 2, 0);
    expect(sum('test=1')).toEqual({ code: 1, last: '10 passed, 2 failed, 0 skipped' });
  });

  it('counts a part that broke without counting, or left no report, as one failure', () => {
    report('test', 10, 0, 0);
    expect(sum('test=1', 'test_real=137')).toEqual({ code: 1, last: '10 passed, 2 failed, 0 skipped' });
  });
});
