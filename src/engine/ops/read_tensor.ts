// Tensor bytes of a file (safetensors: little-endian, row-major) to the device, with the dtype conversion. With the
// kernel the bytes never pass through the JS heap.
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { messageOf, UserError } from '../../core/errors.ts';
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

/** The tensor [shape] in `dtype`. UserError where the file is too short or a value is not finite in `dtype`. */
export function readTensor(args: ReadTensorArguments): Tensor {
  const { path, offset, source_dtype, shape } = args;
  check('read_tensor', existsSync(path), () => `expected a file at ${path}`);
  check('read_tensor', Number.isSafeInteger(offset) && offset >= 0, () => `expected a byte offset, got ${offset}`);
  const bytes = sizeOf(shape) * (source_dtype === 'F32' ? 4 : 2);
  const { size } = statSync(path);
  if (offset + bytes > size) {
    throw new UserError(
      `${path}: expected ${bytes} bytes at offset ${offset}, got a file of ${size} bytes; it is cut short, copy or fetch it again.`,
    );
  }
  return scope(() => (hasKernel('RocitReadTensor') ? kernel(args) : throughHost(args, bytes)));
}

function kernel({ path, offset, source_dtype, shape, dtype }: ReadTensorArguments): Tensor {
  const name = new TextEncoder().encode(path);
  const position = Int32Array.of(offset % 2 ** 32, Math.floor(offset / 2 ** 32));
  const attributes = {
    source_type: { type: SOURCE_TYPES[source_dtype] },
    T: { type: dtype },
    shape: { shape },
    check_finite: true,
  };
  try {
    return run('RocitReadTensor', attributes, [tensor(name, [name.length]), tensor(position, [2])]);
  } catch (error) {
    throw new UserError(
      `${path}: expected finite values of shape [${shape}] at offset ${offset}, got: ${messageOf(error)}; fetch or make the file again.`,
    );
  }
}

function throughHost({ path, offset, source_dtype, shape, dtype }: ReadTensorArguments, bytes: number): Tensor {
  const raw = new Uint8Array(bytes);
  const file = openSync(path, 'r');
  try {
    for (let done = 0; done < bytes; ) done += readSync(file, raw, done, bytes - done, offset + done);
  } finally {
    closeSync(file);
  }
  const values = toFloat32(raw, source_dtype);
  const limit = dtype === 'bfloat16' ? BFLOAT16_OVERFLOW : Number.POSITIVE_INFINITY;
  const bad = values.findIndex((value) => !(Math.abs(value) < limit));
  if (bad >= 0) {
    throw new UserError(
      `${path}: expected finite values of shape [${shape}] at offset ${offset}, got ${values[bad]} at index ${bad}; fetch or make the file again.`,
    );
  }
  return tensor(values, shape, dtype);
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
