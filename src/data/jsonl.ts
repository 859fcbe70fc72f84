// Rows of JSON Lines files with errors for people: the first bad rows are collected and raised together.

import { closeSync, openSync, readSync } from 'node:fs';
import { messageOf, UserError } from '../core/errors.ts';
import { readLines, requireFile } from '../core/files.ts';
import { isObject, type JsonObject } from '../core/json.ts';

/** What is wrong with a row: `expected …, got …`, without place and advice. */
export class BadRow extends Error {}

const MAX_BAD_ROWS = 5;
const LFS_HEAD = 'version https://git-lfs.github.com/spec/';

/**
 * Parses every line of a file, with constant memory; blank lines are skipped.
 * @param what the content, for errors: "RoleBench rows"
 * @param parse makes a row of a parsed object, or throws BadRow
 * @throws UserError when the file is missing or a Git LFS pointer, or with the first bad rows at the end of the file
 */
export async function* readRows<T>(
  path: string,
  what: string,
  parse: (object: JsonObject, line: number) => T,
): AsyncGenerator<T> {
  refuseLfsPointer(path, what);
  const bad: string[] = [];
  for await (const { line, text } of readLines(path, what)) {
    if (text.trim() === '') continue;
    const result = tryParse(text, line, parse);
    if ('row' in result) {
      if (bad.length === 0) yield result.row;
    } else {
      bad.push(`${path}:${line}: ${result.problem}; fix or remove the row.`);
      if (bad.length === MAX_BAD_ROWS) throw badRows(bad, true);
    }
  }
  if (bad.length > 0) throw badRows(bad, false);
}

/** Throws a UserError when the file is a Git LFS pointer in place of its content. */
export function refuseLfsPointer(path: string, what: string): void {
  requireFile(path, what);
  const head = Buffer.alloc(256);
  const fd = openSync(path, 'r');
  const length = readSync(fd, head, 0, head.length, 0);
  closeSync(fd);
  const text = head.toString('utf8', 0, length);
  if (!text.startsWith(LFS_HEAD)) return;
  const size = /^size (\d+)$/m.exec(text)?.[1] ?? 'unknown';
  throw new UserError(
    `${path}: expected ${what}, got a Git LFS pointer to a file of ${size} bytes; ` +
      'run `git lfs pull` where it was cloned, or download the file itself and put it here.',
  );
}

/** A field that must be text. */
export function stringField(object: JsonObject, key: string): string {
  const value = object[key];
  if (typeof value !== 'string') throw new BadRow(`expected "${key}" as text, got ${describe(value)}`);
  return value;
}

/** A value of a row in a few words. */
export function describe(value: unknown): string {
  if (value === undefined) return 'no such field';
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function tryParse<T>(
  text: string,
  line: number,
  parse: (object: JsonObject, line: number) => T,
): { row: T } | { problem: string } {
  try {
    const value: unknown = JSON.parse(line === 1 ? text.replace(/^\uFEFF/, '') : text);
    if (!isObject(value)) return { problem: `expected a JSON object, got ${describe(value)}` };
    return { row: parse(value, line) };
  } catch (error) {
    if (error instanceof BadRow) return { problem: error.message };
    if (error instanceof SyntaxError) return { problem: `expected a JSON object, got ${notJson(text, error)}` };
    throw error;
  }
}

function notJson(text: string, error: unknown): string {
  const start = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  return `text that is not JSON (${JSON.stringify(start)}, ${messageOf(error)})`;
}

function badRows(bad: string[], stopped: boolean): UserError {
  const more = stopped ? `\nReading stopped after ${bad.length} bad rows; there may be more.` : '';
  return new UserError(bad.join('\n') + more);
}
