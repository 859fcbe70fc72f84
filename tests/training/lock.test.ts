import { spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { unixSeconds } from '../../src/core/clock.ts';
import { lockFolder } from '../../src/training/lock.ts';
import { userErrorFrom } from '../checkpoint/user_error.ts';
import { temporaryFolder } from '../support/temporary.ts';

const folder = temporaryFolder();
const path = join(folder, '.lock');

/** The lock as this process writes it, with some fields changed. */
async function writeLock(changes: object): Promise<void> {
  const unlock = await lockFolder(folder);
  const me = JSON.parse(readFileSync(path, 'utf8')) as object;
  unlock();
  writeFileSync(path, JSON.stringify({ ...me, ...changes }));
}

function ownerNow(): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

describe('lockFolder', () => {
  afterEach(() => rmSync(path, { force: true }));

  it('names host, pid and start, and is gone when it is given back', async () => {
    const unlock = await lockFolder(folder);
    expect(ownerNow()).toEqual({ host: hostname(), pid: process.pid, start: expect.stringMatching(/^\d+$/) });
    unlock();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses a folder whose owner lives', async () => {
    await lockFolder(folder);
    const text = (await userErrorFrom(lockFolder(folder), folder)).replace(
      `${process.pid} on ${hostname()}`,
      '<owner>',
    );
    expect(text).toMatchInlineSnapshot(
      `"<folder>: expected a folder that no other process trains in, got one locked by process <owner>; wait for it, stop it, or choose another output_dir."`,
    );
    expect(ownerNow()).toMatchObject({ pid: process.pid });
  });

  it('takes over from a process that ended', async () => {
    const { pid } = spawnSync('true');
    await writeLock({ pid, start: '1' });
    (await lockFolder(folder))();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('takes over from a killed process that nobody has collected yet', async () => {
    const child = spawn('sleep', ['60']);
    const stat = () =>
      readFileSync(`/proc/${child.pid}/stat`, 'utf8')
        .replace(/^.*\) /, '')
        .split(' ');
    await writeLock({ pid: child.pid, start: stat()[19] });
    await expect(lockFolder(folder)).rejects.toThrow(`process ${child.pid}`);
    child.kill('SIGKILL');
    // The event loop, which would collect it, does not run meanwhile.
    while (stat()[0] !== 'Z');
    (await lockFolder(folder))();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('takes over where the pid belongs to another process by now', async () => {
    await writeLock({ start: '1' });
    (await lockFolder(folder))();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('refuses another host that refreshes its lock, and takes over from one that does not', async () => {
    await writeLock({ host: 'elsewhere' });
    const refreshing = setInterval(() => utimesSync(path, unixSeconds(), unixSeconds()), 50);
    await expect(lockFolder(folder, 2)).rejects.toThrow('on elsewhere');
    clearInterval(refreshing);
    (await lockFolder(folder, 0.3))();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each(['', '{"host": "ab', 'null'])('takes over a lock that says nothing: %j', async (text) => {
    writeFileSync(path, text);
    (await lockFolder(folder))();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('leaves the lock of another process when it gives its own back', async () => {
    const unlock = await lockFolder(folder);
    const other = { host: 'elsewhere', pid: 1, start: '1' };
    writeFileSync(path, JSON.stringify(other));
    unlock();
    expect(ownerNow()).toEqual(other);
  });
});
