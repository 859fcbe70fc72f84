// The values of a file of JSON Lines or of one JSON list as texts, one at a time, with constant memory. Bytes that are
// not UTF-8 are refused with their line. A list is cut here and not by a parser, since each value needs its line, and a
// file may be one line of many hundred megabytes.
import { createReadStream } from 'node:fs';
import { UserError } from '../core/errors.ts';
import { requireFile } from '../core/files.ts';
import { refuseUtf16, utf8Text, withoutMark } from '../core/utf8.ts';

export interface JsonText {
  text: string;
  /** The line on which it begins, from 1. */
  line: number;
  /** Its number in a list, from 1; null for a line of JSON Lines. */
  element: number | null;
}

const CHUNK = 1 << 20;
/** No row is that long; a string of JavaScript ends at 512 MB. */
const MAX_BYTES = 1 << 28;
const [NEWLINE, QUOTE, BACKSLASH, COMMA] = [0x0a, 0x22, 0x5c, 0x2c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * @param what the content, for errors: "chat rows"
 * @param onBytes called with the size of each piece that is read
 * @throws UserError for a missing file, bytes that are not UTF-8, a value that is too long, or a list that does not end
 */
export async function* readJsonTexts(
  path: string,
  what: string,
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<JsonText> {
  requireFile(path, what);
  let cutter: Cutter | null = null;
  let head: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK }) as AsyncIterable<Buffer>) {
    onBytes(chunk.length);
    if (cutter !== null) yield* cutter.push(chunk);
    else {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      cutter = chooseCutter(path, what, head);
      if (cutter !== null) yield* cutter.push(withoutMark(head));
    }
  }
  if (cutter !== null) yield* cutter.finish();
}

interface Cutter {
  push(chunk: Buffer): Generator<JsonText>;
  finish(): Generator<JsonText>;
}

/** By the first byte that is not white space; null where there is none yet. */
function chooseCutter(path: string, what: string, head: Buffer): Cutter | null {
  refuseUtf16(head, path, what);
  const first = withoutMark(head).find((byte) => !isSpace(byte));
  if (first === undefined) return null;
  return first === OPEN_LIST ? new ListCutter(path, what) : new LineCutter(path, what);
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === NEWLINE || byte === 0x0d || byte === 0x09;
}

/** The bytes of one value while they come in. */
class Value {
  private readonly parts: Buffer[] = [];
  private size = 0;
  private readonly path: string;
  private readonly what: string;

  constructor(path: string, what: string) {
    this.path = path;
    this.what = what;
  }

  add(bytes: Buffer, line: number): void {
    this.size += bytes.length;
    if (this.size > MAX_BYTES) {
      throw new UserError(
        `${this.path}:${line}: expected ${this.what} of at most ${MAX_BYTES >> 20} MB each, got a longer one; ` +
          'put one row on a line, or all rows into one list.',
      );
    }
    if (bytes.length > 0) this.parts.push(bytes);
  }

  /** The text of all bytes; begins anew. */
  take(line: number): string {
    const bytes = this.parts.length === 1 ? (this.parts[0] as Buffer) : Buffer.concat(this.parts);
    this.parts.length = 0;
    this.size = 0;
    return utf8Text(bytes, this.path, line, this.what);
  }
}

class LineCutter implements Cutter {
  private line = 1;
  private readonly value: Value;

  constructor(path: string, what: string) {
    this.value = new Value(path, what);
  }

  *push(chunk: Buffer): Generator<JsonText> {
    let at = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, at)) {
      this.value.add(chunk.subarray(at, end), this.line);
      yield* this.take();
      at = end + 1;
      this.line += 1;
    }
    this.value.add(chunk.subarray(at), this.line);
  }

  *finish(): Generator<JsonText> {
    yield* this.take();
  }

  private *take(): Generator<JsonText> {
    const text = this.value.take(this.line).trim();
    if (text !== '') yield { text, line: this.line, element: null };
  }
}

class ListCutter implements Cutter {
  private line = 1;
  /** Where the value in work began. */
  private begun = 1;
  private element = 1;
  private isText = false;
  private isEscaped = false;
  private isOver = false;
  /** The open brackets, from the outermost. */
  private readonly open: number[] = [];
  private readonly path: string;
  private readonly what: string;
  private readonly value: Value;

  constructor(path: string, what: string) {
    this.path = path;
    this.what = what;
    this.value = new Value(path, what);
  }

  *push(chunk: Buffer): Generator<JsonText> {
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      if (this.isText) {
        at = this.skipText(chunk, at);
        continue;
      }
      const byte = chunk[at] as number;
      if (byte === NEWLINE) this.line += 1;
      if (isSpace(byte)) continue;
      if (this.isOver) throw this.wrong('the end of the file behind the list', 'more text');
      if (byte === QUOTE) this.isText = true;
      else if (byte === OPEN_LIST || byte === OPEN_OBJECT) {
        this.open.push(byte);
        if (this.depth === 1) {
          from = at + 1;
          this.begun = this.line;
        } else if (this.depth === 2) this.begun = this.line;
      } else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) {
        const opened = this.open.pop();
        if ((opened === OPEN_LIST) !== (byte === CLOSE_LIST))
          throw this.wrong('brackets in pairs', 'one that closes another');
        if (this.depth > 0) continue;
        this.isOver = true;
        yield* this.take(chunk.subarray(from, at), true);
        from = chunk.length;
      } else if (byte === COMMA && this.depth === 1) {
        yield* this.take(chunk.subarray(from, at), false);
        from = at + 1;
        this.begun = this.line;
      }
    }
    if (!this.isOver && this.depth > 0) this.value.add(chunk.subarray(from), this.begun);
  }

  // biome-ignore lint/correctness/useYield: a list that did not end has no value left
  *finish(): Generator<JsonText> {
    if (!this.isOver) throw this.wrong('a list that ends with ]', 'the end of the file');
  }

  /** The place of the quote that ends the text, or the end of the piece. */
  private skipText(chunk: Buffer, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at];
      if (this.isEscaped) this.isEscaped = false;
      else if (byte === BACKSLASH) this.isEscaped = true;
      else if (byte === QUOTE) {
        this.isText = false;
        return at;
      }
    }
    return chunk.length;
  }

  private *take(bytes: Buffer, isLast: boolean): Generator<JsonText> {
    this.value.add(bytes, this.begun);
    const text = this.value.take(this.begun).trim();
    // An empty list has no value, and neither has the place behind a last comma.
    if (text === '' && isLast && this.element === 1) return;
    yield { text, line: this.begun, element: this.element };
    this.element += 1;
  }

  /** Open brackets, the list itself included. */
  private get depth(): number {
    return this.open.length;
  }

  private wrong(expected: string, got: string): UserError {
    return new UserError(
      `${this.path}:${this.line}: expected ${expected}, got ${got}; ${this.what} are one JSON object a line, or one list of them.`,
    );
  }
}
