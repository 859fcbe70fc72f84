// read_tensor: bytes of a file to the device with the conversion of dtypes, by kernel and composition; damaged files.
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { UserError } from '../../../src/core/errors.ts';
import { type ReadTensorArguments, readTensor } from '../../../src/engine/ops/read_tensor.ts';
import { backend, startEngine, withoutKernels } from '../../../src/engine/runtime.ts';
import { liveTensors, readFloats, scope } from '../../../src/engine/tensor.ts';
import { bfloat16Bits, bfloat16Value, roundToBfloat16 } from '../../reference/bfloat16.ts';
import { temporaryFolder } from '../../support/temporary.ts';
import { uniformValues } from '../random.ts';

type Source = 'F32' | 'F16' | 'BF16';
const SOURCES: Source[] = ['F32', 'F16', 'BF16'];
const BYTES = { F32: 4, F16: 2, BF16: 2 };

/** What reading does in place of itself. */
const fault = vi.hoisted((): { readSync: (() => number) | null } => ({ readSync: null }));
vi.mock('node:fs', async (load) => {
  const fs = await load<typeof import('node:fs')>();
  const readSync = (...args: Parameters<typeof fs.readSync>) => fault.readSync?.() ?? fs.readSync(...args);
  return { ...fs, readSync };
});

const folder = temporaryFolder();
let kernels: string[] = [];
beforeAll(async () => {
  kernels = (await startEngine()).kernels;
  console.info(`read_tensor: kernel ${kernels.includes('RocitReadTensor') ? 'RocitReadTensor' : 'missing'}`);
});
afterAll(() => expect(liveTensors()).toBe(0));

/** The 16 bits of a binary16 that the value is exactly. */
function halfBits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size === Number.POSITIVE_INFINITY) return sign | 0x7c00;
  if (size < 2 ** -14) return sign | (size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | ((exponent + 15) << 10) | ((size / 2 ** exponent - 1) * 1024);
}

function encode(values: readonly number[], source: Source): Uint8Array {
  if (source === 'F32') return new Uint8Array(Float32Array.from(values).buffer);
  return new Uint8Array(Uint16Array.from(values, source === 'F16' ? halfBits : bfloat16Bits).buffer);
}

/** Values that the source dtype holds exactly, its ends and subnormals among them. */
function exactValues(source: Source, count: number): number[] {
  const ends = {
    F32: [0, -0, 3.3895313892515355e38, 2 ** -126, 1.401298464324817e-45],
    F16: [0, -0, 65504, -65504, 2 ** -14, 2 ** -24, -3 * 2 ** -24],
    BF16: [0, -0, bfloat16Value(0x7f7f), 2 ** -126, -(2 ** -10)],
  };
  const random = [...uniformValues(source, [count])].map((x) =>
    source === 'F16' ? Math.trunc(x * 1024) / 512 : source === 'BF16' ? roundToBfloat16(x) : x,
  );
  return [...ends[source], ...random].slice(0, count);
}

function write(name: string, before: number, values: readonly number[], source: Source): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat([Buffer.alloc(before, 0xff), encode(values, source), Buffer.alloc(3, 0xff)]));
  return path;
}

describe.each(['kernel', 'composition'] as const)('%s', (implementation) => {
  const load = async (args: ReadTensorArguments): Promise<{ values: Float32Array; dtype: string; shape: number[] }> => {
    const get = () =>
      scope(() => {
        const t = readTensor(args);
        return { values: readFloats(t), dtype: t.dtype, shape: [...t.shape] };
      });
    return implementation === 'kernel' ? get() : withoutKernels(get);
  };
  const failure = async (args: ReadTensorArguments): Promise<Error> => {
    try {
      await load(args);
    } catch (error) {
      if (error instanceof Error) return error;
    }
    throw new Error('nothing was thrown');
  };

  it('is there', () => {
    if (implementation === 'kernel') expect(kernels).toContain('RocitReadTensor');
  });

  const cases = SOURCES.flatMap((source) =>
    (['float32', 'bfloat16'] as const).flatMap((dtype) =>
      [[5, 123], [1], [], [0, 7], [3, 5, 7]].flatMap((shape) =>
        [0, 8, 13].map((offset) => [source, dtype, shape, offset] as const),
      ),
    ),
  );
  it.each(cases)('%s to %s of shape %j at byte %d', async (source_dtype, dtype, shape, offset) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = exactValues(source_dtype, size);
    const path = write(`${implementation}-${source_dtype}-${dtype}`, offset, values, source_dtype);
    const got = await load({ path, offset, source_dtype, shape, dtype });
    expect(got).toMatchObject({ dtype, shape });
    const expected = Float32Array.from(values, dtype === 'bfloat16' ? roundToBfloat16 : (x) => x);
    expect([...got.values]).toEqual([...expected]);
  });

  it('large tensors come whole', async () => {
    const values = [...uniformValues('large', [1_500_001])];
    const path = write(`${implementation}-large`, 4, values, 'F32');
    const got = await load({ path, offset: 4, source_dtype: 'F32', shape: [1_500_001], dtype: 'float32' });
    expect(Buffer.compare(Buffer.from(got.values.buffer), Buffer.from(Float32Array.from(values).buffer))).toBe(0);
  });

  it('paths may hold blanks and any letters', async () => {
    mkdirSync(join(folder, 'Ordner 皇帝'), { recursive: true });
    const path = write(join('Ordner 皇帝', `${implementation} ü.bin`), 0, [1, 2], 'F32');
    const got = await load({ path, offset: 0, source_dtype: 'F32', shape: [2], dtype: 'float32' });
    expect([...got.values]).toEqual([1, 2]);
  });

  it.each(SOURCES.flatMap((source) => [Number.NaN, Number.POSITIVE_INFINITY].map((bad) => [source, bad] as const)))(
    '%s with %d is refused with path, offset and index',
    async (source_dtype, bad) => {
      const path = write(`${implementation}-bad`, 6, [1, 2, 3, bad, 5, bad], source_dtype);
      const error = await failure({ path, offset: 6, source_dtype, shape: [2, 3], dtype: 'float32' });
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toContain(`${path}: expected finite values of shape [2,3] at offset 6, got`);
      expect(error.message).toMatch(
        /at offset 6, got (NaN or Inf|NaN|Infinity) at index 3; fetch or make the file again\.$/,
      );
    },
  );

  it('a float32 value beyond bfloat16 is refused in bfloat16 alone', async () => {
    const path = write(`${implementation}-wide`, 0, [1, 3.4028234663852886e38], 'F32');
    const args = { path, offset: 0, source_dtype: 'F32', shape: [2] } as const;
    expect([...(await load({ ...args, dtype: 'float32' })).values]).toEqual([1, 3.4028234663852886e38]);
    expect((await failure({ ...args, dtype: 'bfloat16' })).message).toMatch(/expected finite values .* index 1\b/s);
  });

  it('a file that is cut short is refused with its size', async () => {
    const path = write(`${implementation}-short`, 0, [1, 2, 3, 4], 'F32');
    truncateSync(path, 15);
    const error = await failure({ path, offset: 0, source_dtype: 'F32', shape: [4], dtype: 'float32' });
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toBe(
      `${path}: expected 16 bytes at offset 0, got a file of 15 bytes; it is cut short, copy or fetch it again.`,
    );
  });

  it('an offset beyond 4 GB is read as one', async () => {
    const path = write(`${implementation}-far`, 0, [1], 'F32');
    const error = await failure({ path, offset: 2 ** 33 + 4, source_dtype: 'F32', shape: [1], dtype: 'float32' });
    expect(error.message).toContain(`expected 4 bytes at offset ${2 ** 33 + 4}, got a file of 7 bytes`);
  });

  it('a path that the system refuses is told in its words', async () => {
    const path = join(folder, 'x'.repeat(300));
    const error = await failure({ path, offset: 2, source_dtype: 'F16', shape: [3], dtype: 'float32' });
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /^\/.*x: expected to read 6 bytes at offset 2, got "ENAMETOOLONG: .*"; check the file, /,
    );
    expect(error.cause).toBeInstanceOf(Error);
  });

  it.each([
    ['cannot open it: Permission denied', 'EACCES: permission denied'],
    ['reading at byte offset 4 failed: Input/output error', 'EIO: i/o error'],
  ])('what fails while it is read is told as it is: %s', async (ofKernel, ofNode) => {
    const path = write(`${implementation}-failing`, 4, [1, 2], 'F32');
    const failing = (reason: string) => () => {
      throw new Error(reason);
    };
    if (implementation === 'composition') fault.readSync = failing(ofNode);
    else vi.spyOn(backend(), 'execute').mockImplementationOnce(failing(`RocitReadTensor: ${ofKernel}`));
    const error = await failure({ path, offset: 4, source_dtype: 'F32', shape: [2], dtype: 'float32' });
    fault.readSync = null;
    vi.restoreAllMocks();
    expect(error).toBeInstanceOf(UserError);
    const reason = implementation === 'composition' ? ofNode : ofKernel;
    expect(error.message).toBe(
      `${path}: expected to read 8 bytes at offset 4, got "${reason}"; check the file, its rights, the disk and free memory.`,
    );
    expect((error.cause as Error).message).toContain(reason);
  });

  it('a file that ends while it is read is refused', async () => {
    if (implementation === 'kernel') return;
    const path = write('ending', 0, [1, 2], 'F32');
    fault.readSync = () => 0;
    const error = await failure({ path, offset: 0, source_dtype: 'F32', shape: [2], dtype: 'float32' });
    fault.readSync = null;
    expect(error.message).toContain('expected to read 8 bytes at offset 0, got "the file ended after 0 of them"');
  });

  it('a file that is missing is refused with its path', async () => {
    const path = join(folder, 'nothing.bin');
    const error = await failure({ path, offset: 0, source_dtype: 'F32', shape: [1], dtype: 'float32' });
    expect(error.message).toContain(path);
  });

  it('a tensor is a copy: the file may change afterwards', () => {
    const path = write(`${implementation}-changing`, 0, [1, 2, 3], 'F32');
    scope(() => {
      const t = readTensor({ path, offset: 0, source_dtype: 'F32', shape: [3], dtype: 'float32' });
      writeFileSync(path, Buffer.alloc(3 * BYTES.F32));
      expect([...readFloats(t)]).toEqual([1, 2, 3]);
    });
  });
});
