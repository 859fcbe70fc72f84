// Rows of JSON Lines files and JSON lists with errors for people: the first bad rows are collected and raised together.
import { closeSync, openSync, readSync } from 'node:fs';
import { messageOf, UserError } from '../core/errors.ts';
import { requireFile } from '../core/files.ts';
import { isObject, type JsonObject } from '../core/json.ts';
import { RESERVED } from './added_tokens.ts';
import { readJsonTexts } from './json_texts.ts';
import { BadRow, Refusals } from './refusals.ts';
import type { RowPlace } from './sample.ts';

export interface ReadOptions {
  /** Takes the rows that are bad; left out, they are raised together. */
  onBad?: (place: RowPlace, fault: BadRow) => void;
  /** Told the size of each piece that is read. */
  onBytes?: (bytes: number) => void;
}

const LFS_HEAD = 'version https://git-lfs.github.com/spec/';

/**
 * Parses every row of a file, with constant memory; blank lines are skipped.
 * @param what the content, for errors: "RoleBench rows"
 * @param parse makes a row of a parsed object, or throws BadRow
 * @throws UserError when the file is missing, a Git LFS pointer or not UTF-8, or with the first bad rows
 */
export async function* readRows<T>(
  path: string,
  what: string,
  parse: (object: JsonObject, place: RowPlace) => T,
  { onBad, onBytes }: ReadOptions = {},
): AsyncGenerator<T> {
  refuseLfsPointer(path, what);
  const refusals = new Refusals('error');
  for await (const { text, line, element } of readJsonTexts(path, what, onBytes)) {
    const place = element === null ? { file: path, row: line } : { file: path, row: element, line };
    const result = tryParse(text, place, parse);
    if (!(result instanceof BadRow)) {
      if (refusals.count === 0) yield result;
    } else if (onBad === undefined) refusals.add(place, result);
    else onBad(place, result);
  }
  refusals.finish();
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
  return textOf(object[key], `"${key}"`);
}

/** A value that must be text which can be written and tokenised. */
export function textOf(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new BadRow(`expected ${name} as text, got ${describe(value)}`);
  const fault = textFault(value);
  if (fault !== null) throw new BadRow(`expected ${name} as text, got ${fault} in it`, 'bad_text');
  return value;
}

/** What makes a string no text, or null. */
export function textFault(text: string): string | null {
  if (!text.isWellFormed()) {
    const lone = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/.exec(text)?.[0] ?? '';
    return `the lone surrogate \\u${lone.charCodeAt(0).toString(16)}`;
  }
  const reserved = RESERVED.exec(text)?.[0];
  return reserved === undefined ? null : `the noncharacter U+${reserved.charCodeAt(0).toString(16).toUpperCase()}`;
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

function tryParse<T>(text: string, place: RowPlace, parse: (object: JsonObject, place: RowPlace) => T): T | BadRow {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? parse(value, place) : new BadRow(`expected a JSON object, got ${describe(value)}`);
  } catch (error) {
    if (error instanceof BadRow) return error;
    if (error instanceof SyntaxError) return new BadRow(`expected a JSON object, got ${notJson(text, error)}`);
    throw error;
  }
}

function notJson(text: string, error: unknown): string {
  const start = text.length > 40 ? `${text.slice(0, 40)}…` : text;
  const reason = messageOf(error);
  return `text that is not JSON (${JSON.stringify(start)}, ${reason.length > 120 ? `${reason.slice(0, 120)}…` : reason})`;
}
