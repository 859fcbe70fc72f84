// One process at a time in a run folder. The lock names its owner (host, pid, start of the process), so that a dead
// owner blocks nobody; a living one refreshes the file, which tells other hosts that it lives.
import { linkSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { seconds, unixSeconds } from '../core/clock.ts';
import { messageOf, UserError } from '../core/errors.ts';
import { breathe } from '../core/interrupt.ts';
import { log } from '../core/log.ts';

const REFRESH_SECONDS = 10;
/** How long another host's lock is watched: a living owner refreshes it at least twice. */
const WATCH_SECONDS = 25;

interface Owner {
  host: string;
  pid: number;
  /** Clock ticks since boot, /proc/<pid>/stat field 22: tells a reused pid from the owner. */
  start: string;
}

/** Takes the lock of a folder; the returned function gives it back. UserError while another process holds it. */
export async function lockFolder(folder: string, watchSeconds = WATCH_SECONDS): Promise<() => void> {
  const path = join(folder, '.lock');
  const me: Owner = { host: hostname(), pid: process.pid, start: startOf(process.pid) ?? '' };
  if (!tryCreate(path, me)) {
    const owner = readOwner(path);
    if (owner !== null && (await isAlive(owner, path, watchSeconds))) {
      throw new UserError(
        `${folder}: expected a folder that no other process trains in, got one locked by process ${owner.pid} on ${owner.host}; wait for it, stop it, or choose another output_dir.`,
      );
    }
    if (owner !== null)
      log.info(`${folder}: its last owner (process ${owner.pid} on ${owner.host}) is gone; taking over.`);
    if (!removeLock(path, owner) || !tryCreate(path, me))
      throw new UserError(
        `${folder}: expected to lock it, but another process did so just now; choose another output_dir.`,
      );
  }
  const refresh = setInterval(() => touch(path), REFRESH_SECONDS * 1000);
  refresh.unref();
  return () => {
    clearInterval(refresh);
    removeLock(path, me);
  };
}

/** Creates the lock with its content at once: whoever finds it can read its owner. */
function tryCreate(path: string, me: Owner): boolean {
  const temporary = temporaryName(path);
  writeFileSync(temporary, JSON.stringify(me));
  try {
    linkSync(temporary, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Removes the lock of this owner; false, and nothing is changed, where another process has replaced it meanwhile. */
function removeLock(path: string, owner: Owner | null): boolean {
  const aside = temporaryName(path);
  try {
    renameSync(path, aside);
    if (JSON.stringify(readOwner(aside)) === JSON.stringify(owner)) return true;
    linkSync(aside, path);
    return false;
  } catch {
    return false;
  } finally {
    rmSync(aside, { force: true });
  }
}

function temporaryName(path: string): string {
  return `${path}.tmp-${process.pid}`;
}

/** A lock that somebody removed by hand is no reason to end a run. */
function touch(path: string): void {
  try {
    utimesSync(path, unixSeconds(), unixSeconds());
  } catch (error) {
    log.once(
      path,
      `${path}: expected this run's lock, but it cannot be refreshed (${messageOf(error)}); the run goes on.`,
    );
  }
}

/** Null where the file is gone or was never finished. */
function readOwner(path: string): Owner | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Owner;
  } catch {
    return null;
  }
}

async function isAlive(owner: Owner, path: string, watchSeconds: number): Promise<boolean> {
  if (owner.host !== hostname()) return await isRefreshed(path, watchSeconds, owner.host);
  const start = startOf(owner.pid);
  return start !== null && start === owner.start;
}

/** Whether somebody touches the lock while we watch. */
async function isRefreshed(path: string, watchSeconds: number, host: string): Promise<boolean> {
  const touched = () => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const before = touched();
  const end = seconds() + watchSeconds;
  log.info(`${path}: locked from ${host}; watching for ${watchSeconds} s whether its owner lives.`);
  while (seconds() < end && touched() === before) {
    await breathe();
    await setTimeout(100);
  }
  return touched() > before;
}

/** Null where there is no such process, or a killed one that its parent has not collected yet. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}
