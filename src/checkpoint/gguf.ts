// Reader of GGUF files, versions 2 and 3, little-endian: metadata, and tensors one at a time as float32.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { UserError } from '../core/errors.ts';
import { BLOCK_FORMATS, GGUF_TYPES, type GgufType } from './gguf_quants.ts';

export type GgufValue = number | boolean | string | GgufValue[];

export interface GgufTensor {
  name: string;
  /** Row-major, the last dimension contiguous (GGUF writes the reverse). */
  shape: number[];
  type: GgufType;
  /** Absolute byte offset in the file. */
  offset: number;
  bytes: number;
}

export interface GgufFile {
  path: string;
  version: number;
  metadata: Map<string, GgufValue>;
  tensors: Map<string, GgufTensor>;
}

const MAGIC = 0x46554747;
const DEFAULT_ALIGNMENT = 32;
const MAX_DIMENSIONS = 4;

/** Reads the header of a GGUF file; errors name the path and what is wrong. */
export function openGguf(path: string): GgufFile {
  if (!existsSync(path)) throw new UserError(`${path}: expected a GGUF file, got no such file; check the path.`);
  const fd = openSync(path, 'r');
  try {
    return readHeader(createCursor(path, fd));
  } finally {
    closeSync(fd);
  }
}

/** The values of one tensor, decoded to float32. */
export function readGgufTensor(file: GgufFile, name: string): Float32Array {
  const tensor = file.tensors.get(name);
  if (!tensor) throw new UserError(`${file.path}: expected a tensor ${name}, got none; use a whole GGUF file.`);
  const source = new Uint8Array(tensor.bytes);
  const fd = openSync(file.path, 'r');
  try {
    for (let done = 0; done < source.length; ) {
      const read = readSync(fd, source, done, source.length - done, tensor.offset + done);
      if (read === 0) throw cutOff(file.path, `tensor ${name}`);
      done += read;
    }
  } finally {
    closeSync(fd);
  }
  const out = new Float32Array(sizeOf(tensor.shape));
  BLOCK_FORMATS[tensor.type].decode(source, out);
  return out;
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

function cutOff(path: string, where: string): UserError {
  return new UserError(`${path}: expected a whole GGUF file, got one that ends inside ${where}; download it again.`);
}

function readHeader(cursor: Cursor): GgufFile {
  const { path } = cursor;
  if (cursor.uint32() !== MAGIC) throw new UserError(`${path}: expected a GGUF file, got other bytes; check the path.`);
  const version = cursor.uint32();
  if (version !== 2 && version !== 3) {
    throw new UserError(`${path}: expected GGUF version 2 or 3, little-endian, got ${version}; convert it again.`);
  }
  const numTensors = cursor.count('the number of tensors');
  const numKeys = cursor.count('the number of metadata keys');
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < numKeys; i++) {
    const key = cursor.text();
    metadata.set(key, readValue(cursor, cursor.uint32()));
  }
  const listed = Array.from({ length: numTensors }, () => readTensorInfo(cursor));
  const alignment = Number(metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT);
  const dataStart = Math.ceil(cursor.position() / alignment) * alignment;
  const tensors = new Map<string, GgufTensor>();
  for (const tensor of listed) {
    if (tensors.has(tensor.name)) throw new UserError(`${path}: expected each tensor once, got ${tensor.name} twice.`);
    tensor.offset += dataStart;
    if (tensor.offset + tensor.bytes > cursor.fileSize) throw cutOff(path, `tensor ${tensor.name}`);
    tensors.set(tensor.name, tensor);
  }
  return { path, version, metadata, tensors };
}

function readTensorInfo(cursor: Cursor): GgufTensor {
  const name = cursor.text();
  const numDimensions = cursor.uint32();
  if (numDimensions > MAX_DIMENSIONS) {
    throw new UserError(`${cursor.path}: expected at most 4 dimensions, got ${numDimensions} in tensor ${name}.`);
  }
  const shape = Array.from({ length: numDimensions }, () => cursor.uint64()).reverse();
  const number = cursor.uint32();
  const type = GGUF_TYPES.get(number);
  if (!type) {
    throw new UserError(
      `${cursor.path}: expected tensors of type ${[...GGUF_TYPES.values()].join(', ')}, got ggml type ${number} in ${name}; use a file in one of these.`,
    );
  }
  const { values, bytes } = BLOCK_FORMATS[type];
  if ((shape.at(-1) ?? 1) % values !== 0) {
    throw new UserError(
      `${cursor.path}: expected rows of a multiple of ${values} values for ${type}, got ${name} of shape [${shape}].`,
    );
  }
  return { name, shape, type, offset: cursor.uint64(), bytes: (sizeOf(shape) / values) * bytes };
}

/** Reads one metadata value of the given GGUF value type. */
function readValue(cursor: Cursor, type: number): GgufValue {
  switch (type) {
    case 0:
      return cursor.view(1).getUint8(0);
    case 1:
      return cursor.view(1).getInt8(0);
    case 2:
      return cursor.view(2).getUint16(0, true);
    case 3:
      return cursor.view(2).getInt16(0, true);
    case 4:
      return cursor.uint32();
    case 5:
      return cursor.view(4).getInt32(0, true);
    case 6:
      return cursor.view(4).getFloat32(0, true);
    case 7:
      return cursor.view(1).getUint8(0) !== 0;
    case 8:
      return cursor.text();
    case 9: {
      const elementType = cursor.uint32();
      const length = cursor.count('an array');
      return Array.from({ length }, () => readValue(cursor, elementType));
    }
    case 10:
      return cursor.uint64();
    case 11:
      return Number(cursor.view(8).getBigInt64(0, true));
    case 12:
      return cursor.view(8).getFloat64(0, true);
    default:
      throw new UserError(`${cursor.path}: expected a GGUF value type from 0 to 12, got ${type}; the file is damaged.`);
  }
}

interface Cursor {
  path: string;
  fileSize: number;
  position(): number;
  /** The next bytes of the file, valid until the next call. */
  view(bytes: number): DataView;
  uint32(): number;
  uint64(): number;
  /** A 64-bit count that the rest of the file could hold. */
  count(what: string): number;
  text(): string;
}

/** Reads a file front to back through a window of at least 1 MiB. */
function createCursor(path: string, fd: number): Cursor {
  const fileSize = fstatSync(fd).size;
  let window = Buffer.alloc(0);
  let start = 0;
  let used = 0;
  const take = (bytes: number): Buffer => {
    if (start + used + bytes > fileSize) throw cutOff(path, 'the header');
    if (used + bytes > window.length) {
      start += used;
      used = 0;
      window = Buffer.alloc(Math.min(Math.max(bytes, 1 << 20), fileSize - start));
      readSync(fd, window, 0, window.length, start);
    }
    used += bytes;
    return window.subarray(used - bytes, used);
  };
  const view = (bytes: number): DataView => {
    const part = take(bytes);
    return new DataView(part.buffer, part.byteOffset, bytes);
  };
  const uint64 = () => Number(view(8).getBigUint64(0, true));
  const count = (what: string): number => {
    const n = uint64();
    if (n > fileSize - start - used) throw cutOff(path, what);
    return n;
  };
  return {
    path,
    fileSize,
    position: () => start + used,
    view,
    uint32: () => view(4).getUint32(0, true),
    uint64,
    count,
    text: () => take(count('a text')).toString('utf8'),
  };
}
