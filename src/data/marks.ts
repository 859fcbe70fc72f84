// Marks in a rendered text: pairs of noncharacters that say where the content of a message begins and ends, so that
// contents can be followed through a template. A rendering with marks proves something only where it is the plain
// rendering once they are taken out.
import { reservedNumber, ZERO } from './added_tokens.ts';

/** Python's white space, as str.strip() has it. */
const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const LEADING = new RegExp(`^[${SPACE}]+`);
const TRAILING = new RegExp(`[${SPACE}]+$`);

export function stripStart(text: string): string {
  return text.replace(LEADING, '');
}

export function stripEnd(text: string): string {
  return text.replace(TRAILING, '');
}

/** Python's str.split() without a separator. */
export function words(text: string): string[] {
  return text.split(new RegExp(`[${SPACE}]+`)).filter((word) => word !== '');
}

/** Python's str.strip(). */
export function strip(text: string): string {
  return stripEnd(stripStart(text));
}

export interface Mark {
  kind: 'start' | 'end' | 'break';
  message: number;
  /** Where it stands in the text without marks. */
  at: number;
}

const KINDS = { start: '\uFDE2', end: '\uFDE3', break: '\uFDE4' } as const;
const MARK = /([\uFDE2-\uFDE4])([\uFDD1-\uFDE0]+)\uFDE1/g;

/** The text of a mark. `break` only parts a word in two. */
export function mark(kind: Mark['kind'], message: number): string {
  return reservedNumber(KINDS[kind], message);
}

/** A text without its marks, and where they were. */
export function takeMarks(text: string): { plain: string; marks: Mark[] } {
  const marks: Mark[] = [];
  let plain = '';
  let at = 0;
  for (const match of text.matchAll(MARK)) {
    plain += text.slice(at, match.index);
    at = match.index + match[0].length;
    const kind = match[1] === KINDS.start ? 'start' : match[1] === KINDS.end ? 'end' : 'break';
    const digits = [...(match[2] ?? '')].map((digit) => (digit.charCodeAt(0) - ZERO).toString(16));
    marks.push({ kind, message: Number.parseInt(digits.join(''), 16), at: plain.length });
  }
  return { plain: plain + text.slice(at), marks };
}
