// Files: atomic writes (temporary name, fsync, rename), reading with errors for people, hashes.
import { createHash } from 'node:crypto';
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { messageOf, UserError } from './errors.ts';
import { refuseUtf16, utf8Text, withoutMark } from './utf8.ts';

/** Writes a file so that a reader sees the old one or the whole new one, whatever happens in between. */
export function writeFileAtomic(path: string, data: string | Uint8Array): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = temporaryName(path);
  try {
    writeFileSync(temporary, data, { flush: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncPath(dirname(path));
}

/**
 * Fills a folder under a temporary name, then renames it to `path`. An older folder there stays until the new one is
 * whole. Nothing is left behind after an error; after a kill between the two renames `recoverFolder` brings the old back.
 */
export async function writeFolderAtomic<T>(path: string, fill: (temporary: string) => Promise<T>): Promise<T> {
  const temporary = temporaryName(path);
  recoverFolder(path);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  try {
    const result = await fill(temporary);
    for (const name of readdirSync(temporary, { recursive: true })) syncPath(join(temporary, String(name)));
    syncPath(temporary);
    if (existsSync(path)) renameSync(path, asideName(path));
    renameSync(temporary, path);
    syncPath(dirname(path));
    return result;
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  } finally {
    recoverFolder(path);
  }
}

/** Ends a replacement that was killed halfway: the old folder comes back unless the new one is there. */
export function recoverFolder(path: string): void {
  const aside = asideName(path);
  if (!existsSync(aside)) return;
  if (existsSync(path)) rmSync(aside, { recursive: true, force: true });
  else renameSync(aside, path);
}

/** The folders in `parent` that a replacement had put aside when it was killed. */
export function replacedFolders(parent: string): string[] {
  const names = readdirSync(parent).map((name) => ASIDE.exec(name)?.[1]);
  return names.filter((name) => name !== undefined).map((name) => join(parent, name));
}

const ASIDE = /^\.(.+)\.replaced$/;

function asideName(path: string): string {
  return join(dirname(path), `.${basename(path)}.replaced`);
}

/** Makes a file's or folder's content durable. */
export function syncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names in a folder that an interrupted write of `path` may have left behind. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith('.') && name.includes('.tmp-');
}

/** The name under which this process writes `path` before it renames it. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.tmp-${process.pid}`);
}

/** @throws UserError where the file is missing, a folder or not UTF-8 */
export function readTextFile(path: string, what: string): string {
  requireFile(path, what);
  const bytes = readFileSync(path);
  refuseUtf16(bytes, path, what);
  return utf8Text(withoutMark(bytes), path, 1, what);
}

/** `~` and `~/…` as the home folder; every other path as it is. */
export function expandHome(path: string): string {
  return path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path;
}

export function requireFile(path: string, what: string): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new UserError(`${path}: expected ${what}, got no such file; check the path.`);
  if (found.isDirectory()) throw new UserError(`${path}: expected ${what}, got a folder; name the file in it.`);
}

export function readJsonFile(path: string, what: string): unknown {
  const text = readTextFile(path, what);
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = messageOf(error).replaceAll(/\s+/g, ' ');
    throw new UserError(`${path}: expected ${what} as JSON, got text that does not parse (${reason}); restore it.`);
  }
}

/** SHA-256 in hex. */
export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** SHA-256 of a file's bytes in hex, streamed. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}
