// Text out of bytes: UTF-8 alone, everything else is refused with its place.
import { isUtf8 } from 'node:buffer';
import { UserError } from './errors.ts';

/**
 * The text of some bytes of a file.
 * @param line on which they begin
 * @param what the content, for the error
 * @throws UserError with file and line where they are not UTF-8
 */
export function utf8Text(bytes: Buffer, path: string, line: number, what: string): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const at = firstWrong(bytes);
  const around = [...bytes.subarray(Math.max(0, at - 1), at + 3)];
  const hex = around.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join(' ');
  let place = line;
  for (let end = bytes.indexOf(10); end !== -1 && end < at; end = bytes.indexOf(10, end + 1)) place += 1;
  throw new UserError(
    `${path}:${place}: expected ${what} in UTF-8, got the bytes ${hex}; convert the file from the encoding it has ` +
      `(often GB18030 or WINDOWS-1252): iconv -f GB18030 -t UTF-8 "${path}" > new_file`,
  );
}

/** @throws UserError for a file that begins as UTF-16 does */
export function refuseUtf16(head: Buffer, path: string, what: string): void {
  const [a, b, c, d] = head;
  const hasMark = (a === 0xff && b === 0xfe) || (a === 0xfe && b === 0xff);
  // ASCII in UTF-16 without a mark has a zero in every second byte.
  const hasZeros = (a === 0 && c === 0) || (b === 0 && d === 0);
  if (!hasMark && !hasZeros) return;
  throw new UserError(
    `${path}:1: expected ${what} in UTF-8, got UTF-16; convert it: iconv -f UTF-16 -t UTF-8 "${path}" > new_file`,
  );
}

/** Some editors put a byte order mark first, which no parser wants. */
export function withoutMark(head: Buffer): Buffer {
  return head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf ? head.subarray(3) : head;
}

/** The place of the first byte of what is not UTF-8. */
function firstWrong(bytes: Buffer): number {
  let [good, bad] = [0, bytes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    // A character cut in two is no fault of the first half.
    const isGood = [0, 1, 2, 3].some((more) => isUtf8(bytes.subarray(0, Math.max(0, middle - more))));
    if (isGood) good = middle;
    else bad = middle;
  }
  let at = good;
  while (at > 0 && !isUtf8(bytes.subarray(0, at))) at -= 1;
  return at;
}
