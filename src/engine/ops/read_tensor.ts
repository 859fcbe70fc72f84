// Tensor bytes of a file (safetensors: little-endian, row-major) to the device, with the dtype conversion. With the
// kernel the bytes never pass through the JS heap.
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { messageOf, UserError } from '../../core/errors.ts';
import { BYTES } from '../backend.ts';
import { hasKernel } from '../runtime.ts';
import { run, scope, sizeOf, type Tensor, tensor } from '../tensor.ts';
import { check } from './check.ts';

export interface ReadTensorArguments {
  path: string;
  /** Byte offset in the file. */
  offset: number;
  /** As safetensors spells it. */
  source_dtype: 'F32' | 'F16' | 'BF16';
  shape: readonly number[];
  dtype: 'float32' | 'bfloat16';
}

const SOURCE_TYPES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const;

/** The least float32 that rounds to infinity in bfloat16. */
const BFLOAT16_OVERFLOW = 2 ** 127 * (2 - 2 ** -8);

/** The tensor [shape] in `dtype`. UserError where the file cannot be read or a value is not finite in `dtype`. */
export function readTensor(args: ReadTensorArguments): Tensor {
  checkArguments(args);
  const { path, offset } = args;
  const [bytes, size] = [bytesOf(args), sizeOfFile(args)];
  if (offset + bytes > size) {
    throw new UserError(
      `${path}: expected ${bytes} bytes at offset ${offset}, got a file of ${size} bytes; it is cut short, copy or fetch it again.`,
    );
  }
  return scope(() => (hasKernel('RocitReadTensor') ? kernel(args) : throughHost(args)));
}

function checkArguments({ path, offset, source_dtype, shape, dtype }: ReadTensorArguments): void {
  const op = 'read_tensor';
  const sources = Object.keys(SOURCE_TYPES);
  check(op, sources.includes(source_dtype), () => `expected source_dtype of ${sources}, got ${source_dtype}`);
  check(op, ['float32', 'bfloat16'].includes(dtype), () => `expected dtype float32 or bfloat16, got ${dtype}`);
  const isShape = shape.every((n) => Number.isSafeInteger(n) && n >= 0);
  check(op, isShape, () => `expected a shape of whole numbers, got [${shape}]`);
  check(op, Number.isSafeInteger(offset) && offset >= 0, () => `expected a byte offset, got ${offset}`);
  const isPath = path.length > 0 && !path.includes('\0');
  check(op, isPath, () => `expected a path without zero bytes, got ${JSON.stringify(path)}`);
}

function bytesOf({ shape, source_dtype }: ReadTensorArguments): number {
  return sizeOf(shape) * BYTES[SOURCE_TYPES[source_dtype]];
}

function sizeOfFile(args: ReadTensorArguments): number {
  const { path } = args;
  const stat = reading(args, () => statSync(path, { throwIfNoEntry: false }));
  check('read_tensor', stat !== undefined, () => `expected a file at ${path}, got nothing there`);
  check('read_tensor', stat?.isFile() === true, () => `expected a file at ${path}, got a folder or a device`);
  return stat?.size ?? 0;
}

/** Runs `fn`; its error comes back as one that says what to do. */
function reading<T>(args: ReadTensorArguments, fn: () => T): T {
  try {
    return fn();
  } catch (cause) {
    const reason = messageOf(cause).replace(/^.*RocitReadTensor: /, '');
    const [, bad] = /: expected finite values, got (.+? at index \d+)/.exec(reason) ?? [];
    if (bad !== undefined) throw notFinite(args, bad);
    throw new UserError(
      `${args.path}: expected to read ${bytesOf(args)} bytes at offset ${args.offset}, got "${reason}"; check the file, its rights, the disk and free memory.`,
      { cause },
    );
  }
}

function notFinite({ path, offset, shape }: ReadTensorArguments, got: string): UserError {
  return new UserError(
    `${path}: expected finite values of shape [${shape}] at offset ${offset}, got ${got}; fetch or make the file again.`,
  );
}

function kernel(args: ReadTensorArguments): Tensor {
  const { path, offset, source_dtype, shape, dtype } = args;
  const name = new TextEncoder().encode(path);
  const position = Int32Array.of(offset % 2 ** 32, Math.floor(offset / 2 ** 32));
  const attributes = {
    source_type: { type: SOURCE_TYPES[source_dtype] },
    T: { type: dtype },
    shape: { shape },
    check_finite: true,
  };
  const inputs = [tensor(name, [name.length]), tensor(position, [2])];
  return reading(args, () => run('RocitReadTensor', attributes, inputs));
}

function throughHost(args: ReadTensorArguments): Tensor {
  const { source_dtype, shape, dtype } = args;
  const values = toFloat32(
    reading(args, () => readBytes(args)),
    source_dtype,
  );
  const limit = dtype === 'bfloat16' ? BFLOAT16_OVERFLOW : Number.POSITIVE_INFINITY;
  const bad = values.findIndex((value) => !(Math.abs(value) < limit));
  if (bad >= 0) throw notFinite(args, `${values[bad]} at index ${bad}`);
  return tensor(values, shape, dtype);
}

function readBytes(args: ReadTensorArguments): Uint8Array {
  const raw = new Uint8Array(bytesOf(args));
  const file = openSync(args.path, 'r');
  try {
    for (let done = 0; done < raw.length; ) {
      const got = readSync(file, raw, done, raw.length - done, args.offset + done);
      if (got === 0) throw new Error(`the file ended after ${done} of them`);
      done += got;
    }
  } finally {
    closeSync(file);
  }
  return raw;
}

/** Widens safetensors bytes to float32. */
export function toFloat32(raw: Uint8Array, source: 'F32' | 'F16' | 'BF16'): Float32Array {
  const aligned = raw.byteOffset % 4 === 0 ? raw : raw.slice();
  if (source === 'F32') return new Float32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4).slice();
  const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
  if (source === 'BF16') return new Float32Array(Uint32Array.from(halves, (bits) => bits << 16).buffer);
  return Float32Array.from(halves, halfToFloat);
}

/** IEEE 754 binary16 to a number. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * 2 ** -24 * fraction;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * 2 ** (exponent - 25) * (1024 + fraction);
}
