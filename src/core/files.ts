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
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { messageOf, UserError } from './errors.ts';

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

/** Fills a folder under a temporary name, then renames it to `path`, which must not exist. Nothing stays after an error. */
export async function writeFolderAtomic<T>(path: string, fill: (temporary: string) => Promise<T>): Promise<T> {
  const temporary = temporaryName(path);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary, { recursive: true });
  try {
    const result = await fill(temporary);
    for (const name of readdirSync(temporary, { recursive: true })) syncPath(join(temporary, String(name)));
    syncPath(temporary);
    renameSync(temporary, path);
    syncPath(dirname(path));
    return result;
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
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

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.tmp-${process.pid}`);
}

export function readTextFile(path: string, what: string): string {
  requireFile(path, what);
  return readFileSync(path, 'utf8');
}

export function requireFile(path: string, what: string): void {
  if (!existsSync(path)) throw new UserError(`${path}: expected ${what}, got no such file; check the path.`);
}

export function readJsonFile(path: string, what: string): unknown {
  const text = readTextFile(path, what);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(
      `${path}: expected ${what} as JSON, got text that does not parse (${messageOf(error)}); restore it.`,
    );
  }
}

/** The lines of a text file, numbered from 1, with constant memory. */
export async function* readLines(path: string, what: string): AsyncGenerator<{ line: number; text: string }> {
  requireFile(path, what);
  const lines = createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY });
  let line = 0;
  for await (const text of lines) yield { line: ++line, text };
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
