// safetensors files: reading the header with full validation, writing with deterministic bytes.
// Format: https://github.com/huggingface/safetensors#format. Tensor data are not read here.

import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { messageOf, UserError } from '../core/errors.ts';
import { syncPath, temporaryName } from '../core/files.ts';
import { isObject } from '../core/json.ts';

export type SafetensorsDType = 'F32' | 'F16' | 'BF16' | 'I32' | 'I64' | 'U8';

export interface TensorInfo {
  name: string;
  dtype: SafetensorsDType;
  shape: number[];
  /** Absolute byte offset in the file. */
  offset: number;
  bytes: number;
  path: string;
}

export interface TensorToWrite {
  name: string;
  dtype: SafetensorsDType;
  shape: readonly number[];
  /** Row-major little-endian bytes, or a function that makes them when their turn comes. */
  data: Uint8Array | (() => Uint8Array);
}

const BYTES_PER_VALUE: Record<SafetensorsDType, number> = { F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8, U8: 1 };
const FULL_CODES = ['ENOSPC', 'EDQUOT', 'EFBIG'];
const MAX_HEADER_BYTES = 100_000_000;

/** Reads and checks a whole header; no data are read. Every fault is a UserError that names the path. */
export function readSafetensorsHeader(path: string): {
  tensors: Map<string, TensorInfo>;
  metadata: Record<string, string>;
} {
  const { header, dataStart, fileSize } = readHeaderJson(path);
  const tensors = new Map<string, TensorInfo>();
  const faults: string[] = [];
  let metadata: Record<string, string> = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      metadata = readMetadata(path, entry);
      continue;
    }
    const info = readEntry(path, name, entry, fileSize - dataStart);
    if (typeof info === 'string') faults.push(info);
    else tensors.set(name, { ...info, offset: info.offset + dataStart });
  }
  if (faults.length > 0) throw damaged(path, faults.join('; '));
  checkCoverage(path, [...tensors.values()], dataStart, fileSize);
  return { tensors, metadata };
}

function damaged(path: string, what: string): UserError {
  return new UserError(`${path}: expected a valid safetensors file, got ${what}; download or save it again.`);
}

function readHeaderJson(path: string): { header: Record<string, unknown>; dataStart: number; fileSize: number } {
  if (!existsSync(path)) {
    throw new UserError(`${path}: expected a safetensors file, got no such file; check the path.`);
  }
  const fd = openSync(path, 'r');
  try {
    const fileSize = fstatSync(fd).size;
    const head = Buffer.alloc(8);
    if (readSync(fd, head, 0, 8, 0) < 8) throw damaged(path, `only ${fileSize} bytes`);
    const length = Number(head.readBigUInt64LE());
    if (length > fileSize - 8 || length > MAX_HEADER_BYTES) {
      throw damaged(path, `a header of ${length} bytes in a file of ${fileSize}${pointerHint(head)}`);
    }
    const bytes = Buffer.alloc(length);
    readSync(fd, bytes, 0, length, 8);
    return { header: parseHeader(path, bytes), dataStart: 8 + length, fileSize };
  } finally {
    closeSync(fd);
  }
}

function pointerHint(head: Buffer): string {
  return head.toString('latin1') === 'version ' ? ' (a Git LFS pointer: run `git lfs pull`)' : '';
}

function parseHeader(path: string, bytes: Buffer): Record<string, unknown> {
  let header: unknown;
  const source = bytes.toString('utf8');
  try {
    header = JSON.parse(source);
  } catch (error) {
    throw damaged(path, `a header that is not JSON (${messageOf(error)})`);
  }
  if (!isObject(header)) throw damaged(path, 'a header that is not an object');
  const twice = firstDuplicate(topLevelKeys(source));
  if (twice !== null) throw damaged(path, `the name ${twice} twice`);
  return header;
}

/** The keys of the outermost object of valid JSON, repeated ones included (JSON.parse keeps only the last). */
function topLevelKeys(source: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  for (const match of source.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[{}[\]]/gs)) {
    const [token, quoted, colon] = match;
    if (quoted !== undefined) {
      if (depth === 1 && colon !== undefined) keys.push(String(JSON.parse(quoted)));
    } else {
      depth += token === '{' || token === '[' ? 1 : -1;
    }
  }
  return keys;
}

function firstDuplicate(names: string[]): string | null {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) return name;
    seen.add(name);
  }
  return null;
}

function readMetadata(path: string, entry: unknown): Record<string, string> {
  const valid = isObject(entry) && Object.values(entry).every((value) => typeof value === 'string');
  if (!valid) throw damaged(path, '__metadata__ that is not a map of texts');
  return entry as Record<string, string>;
}

/** One tensor of the header with its offset inside the data, or what is wrong with it. */
function readEntry(path: string, name: string, entry: unknown, dataBytes: number): TensorInfo | string {
  if (!isObject(entry)) return `${name}: no object`;
  const { dtype, shape, data_offsets } = entry;
  if (!isDType(dtype)) {
    const isCoded = /^(F8|F4|I8|U4|I4)/.test(String(dtype));
    const known = Object.keys(BYTES_PER_VALUE).join(', ');
    return `${name}: dtype ${String(dtype)}${isCoded ? ', which is quantised' : ''} (known: ${known})`;
  }
  if (!isCounts(shape)) return `${name}: shape ${JSON.stringify(shape)}`;
  if (!isCounts(data_offsets) || data_offsets.length !== 2) return `${name}: offsets ${JSON.stringify(data_offsets)}`;
  const [begin = 0, end = 0] = data_offsets;
  if (begin > end || end > dataBytes) return `${name}: offsets ${begin} to ${end} in ${dataBytes} bytes of data`;
  const bytes = shape.reduce((product, n) => product * n, BYTES_PER_VALUE[dtype]);
  if (bytes !== end - begin) return `${name}: ${end - begin} bytes for ${dtype} [${shape.join(', ')}] (${bytes} bytes)`;
  return { name, dtype, shape, offset: begin, bytes, path };
}

function isDType(value: unknown): value is SafetensorsDType {
  return typeof value === 'string' && Object.hasOwn(BYTES_PER_VALUE, value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}

/** The tensors must cover the data from end to end: no overlap, no hole, nothing behind the last. */
function checkCoverage(path: string, tensors: TensorInfo[], dataStart: number, fileSize: number): void {
  let end = dataStart;
  let previous = 'the header';
  for (const info of tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (info.offset < end) throw damaged(path, `${info.name} overlapping ${previous}`);
    if (info.offset > end) throw damaged(path, `${info.offset - end} bytes of nothing before ${info.name}`);
    end = info.offset + info.bytes;
    previous = info.name;
  }
  if (end !== fileSize) throw damaged(path, `${fileSize - end} bytes behind the last tensor`);
}

/** Writes tensors in the order given; the same input gives the same bytes. Old content stays until the new is whole. */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Record<string, string> = {},
): void {
  mkdirSync(dirname(path), { recursive: true });
  const temporary = temporaryName(path);
  try {
    writeWhole(temporary, path, tensors, metadata);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncPath(dirname(path));
}

function writeWhole(
  path: string,
  shownPath: string,
  tensors: readonly TensorToWrite[],
  metadata: Record<string, string>,
): void {
  const fd = openSync(path, 'w');
  try {
    writeAll(fd, headerBytes(tensors, metadata), shownPath);
    for (const tensor of tensors) {
      const data = typeof tensor.data === 'function' ? tensor.data() : tensor.data;
      if (data.byteLength !== byteLength(tensor)) {
        throw new Error(`${tensor.name}: ${data.byteLength} bytes for ${tensor.dtype} [${tensor.shape.join(', ')}]`);
      }
      writeAll(fd, data, shownPath);
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Length and JSON, padded with blanks so that the data start at a multiple of 8. */
function headerBytes(tensors: readonly TensorToWrite[], metadata: Record<string, string>): Uint8Array {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header.__metadata__ = metadata;
  let offset = 0;
  for (const tensor of tensors) {
    if (Object.hasOwn(header, tensor.name)) throw new Error(`tensor ${tensor.name} twice`);
    const end = offset + byteLength(tensor);
    header[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = Buffer.from(JSON.stringify(header));
  const out = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  out.writeBigUInt64LE(BigInt(out.length - 8));
  json.copy(out, 8);
  return out;
}

function byteLength(tensor: TensorToWrite): number {
  return tensor.shape.reduce((product, n) => product * n, BYTES_PER_VALUE[tensor.dtype]);
}

/** Writes all bytes at the file's position; a full disk is a UserError that names `path`. */
export function writeAll(fd: number, data: Uint8Array, path: string): void {
  try {
    for (let done = 0; done < data.length; ) done += writeSync(fd, data, done, data.length - done);
  } catch (error) {
    const isFull = error instanceof Error && 'code' in error && FULL_CODES.includes(String(error.code));
    if (!isFull) throw error;
    throw new UserError(
      `${path}: expected room to write, got ${messageOf(error)}; free some disk space and run the same command again.`,
      { cause: error },
    );
  }
}

/** The memory of a typed array as bytes, without a copy. */
export function bytesOf(values: Float32Array | Uint16Array | Int32Array | Uint8Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
