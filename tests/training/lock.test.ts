import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { unixSeconds } from '../../src/core/clock.ts';
import { lockFolder } from '../../src/training/lock.ts';
import { userErrorOf } from '../checkpoint/user_error.ts';
import { temporaryFolder } from '../support/temporary.ts';

const folder = temporaryFolder();
const path = join(folder, '.lock');

/** The lock as this process writes it, with some fields changed. */
function writeLock(changes: object): void {
  const unlock = lockFolder(folder);
  const me = JSON.parse(readFileSync(path, 'utf8')) as object;
  unlock();
  writeFileSync(path, JSON.stringify({ ...me, ...changes }));
}

function ownerNow(): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

describe('lockFolder', () => {
  afterEach(() => rmSync(path, { force: true }));

  it('names host, pid and start, and is gone when it is given back', () => {
    const unlock = lockFolder(folder);
    expect(ownerNow()).toEqual({ host: hostname(), pid: process.pid, start: expect.stringMatching(/^\d+$/) });
    unlock();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses a folder whose owner lives', () => {
    lockFolder(folder);
    const text = userErrorOf(() => lockFolder(folder), folder).replace(`${process.pid} on ${hostname()}`, '<owner>');
    expect(text).toMatchInlineSnapshot(
      `"<folder>: expected a folder that no other process trains in, got one locked by process <owner>; wait for it, stop it, or choose another output_dir."`,
    );
    expect(ownerNow()).toMatchObject({ pid: process.pid });
  });

  it('takes over from a process that ended', () => {
    const { pid } = spawnSync('true');
    writeLock({ pid, start: '1' });
    lockFolder(folder)();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('takes over from a killed process that nobody has collected yet', () => {
    const child = spawn('sleep', ['60']);
    const stat = () =>
      readFileSync(`/proc/${child.pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
    writeLock({ pid: child.pid, start: stat()[19] });
    expect(() => lockFolder(folder)).toThrow(`process ${child.pid}`);
    child.kill('SIGKILL');
    // The event loop, which would collect it, does not run meanwhile.
    while (stat()[0] !== 'Z');
    lockFolder(folder)();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('takes over where the pid belongs to another process by now', () => {
    writeLock({ start: '1' });
    lockFolder(folder)();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses another host whose lock is fresh, and takes over one that was not refreshed for long', () => {
    writeLock({ host: 'elsewhere' });
    expect(() => lockFolder(folder)).toThrow('on elsewhere');
    utimesSync(path, unixSeconds() - 3600, unixSeconds() - 3600);
    lockFolder(folder)();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each(['', '{"host": "ab', 'null'])('takes over a lock that says nothing: %j', (text) => {
    writeFileSync(path, text);
    lockFolder(folder)();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves the lock of another process when it gives its own back', () => {
    const unlock = lockFolder(folder);
    const other = { host: 'elsewhere', pid: 1, start: '1' };
    writeFileSync(path, JSON.stringify(other));
    unlock();
    expect(ownerNow()).toEqual(other);
  });
});
