// The doors of our operations: TensorFlow calls them in both dtypes, wrong arguments come back as errors that name the
// operation and the value. Values are proven by kernels/tests and tests/engine/ops.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Attributes, DType } from '../../src/engine/backend.ts';
import { floatBits } from '../../src/engine/host_inputs.ts';
import { cast } from '../../src/engine/primitives.ts';
import { hasKernel, startEngine } from '../../src/engine/runtime.ts';
import { read, readFloats, runMany, scope, type Tensor, tensor } from '../../src/engine/tensor.ts';
import { ALL_KERNELS } from '../support/all_kernels.ts';
import { messageOf } from '../support/calls.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

await startEngine();
const isBuilt = hasKernel('RocitRmsNorm');
if (!isBuilt) console.log('skipped: the kernels are not built or switched off here (npm run kernels)');

const folder = temporaryFolder();
const file = join(folder, 'values.bin');
const values = [1, -2, 0.5, 3, 1.25];

function floats(shape: number[], dtype: DType = 'float32', value = (i: number) => ((i * 7) % 11) / 5 - 1): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: size }, (_, i) => value(i)),
    shape,
    dtype,
  );
}

const none = (dtype: DType = 'float32') => tensor(new Float32Array(0), [0], dtype);
const bytesOf = (path: string) => tensor(new Uint8Array(Buffer.from(path)), [Buffer.byteLength(path)]);
const at = (low: number, high = 0) => tensor(Int32Array.of(low, high), [2]);

function rmsNorm(x: Tensor, residual: Tensor, weight: Tensor, dtype: DType = 'float32', eps = 1e-5): Tensor[] {
  return runMany('RocitRmsNorm', { T: { type: dtype }, eps: { float: eps } }, [x, residual, weight], 3);
}

function readTensor(
  path: Tensor,
  offset: Tensor,
  shape: number[],
  source: DType = 'float32',
  dtype: DType = 'float32',
) {
  const attributes: Attributes = {
    source_type: { type: source },
    T: { type: dtype },
    shape: { shape },
    check_finite: true,
  };
  return runMany('RocitReadTensor', attributes, [path, offset], 1)[0] as Tensor;
}

const hyper = (changes: Record<number, number> = {}) =>
  floatBits(
    Float32Array.from([1e-2, 0.9, 0.999, 1e-8, 0, 0, 1, 0.1, 0.001], (value, i) => changes[i] ?? value),
    [9],
  );

function adamw(lists: Tensor[][], settings: Tensor = hyper()): Tensor[] {
  const N = (lists[0] as Tensor[]).length;
  return runMany('RocitAdamw', { N }, [...lists.flat(), settings], 3 * N + 1);
}

beforeAll(() => writeFileSync(file, new Uint8Array(Float32Array.from([...values, Number.NaN]).buffer)));

describe.skipIf(!isBuilt)('the addon', () => {
  it('names its operations and the processor', () => {
    const addon = createRequire(import.meta.url)(inRepository('build/rocit_kernels.node'));
    expect(addon.kernels.cpu.toSorted()).toEqual(ALL_KERNELS);
    expect(['portable', 'avx2', 'avx512', 'avx512_bf16', 'amx_bf16']).toContain(addon.simdPath());
    expect(addon.cpuFeatures()).toBeInstanceOf(Array);
    expect(addon.residentBytes()).toBeGreaterThan(1e6);
  });
});

describe.skipIf(!isBuilt)('RocitRmsNorm', () => {
  it.each(['float32', 'bfloat16'] as const)('gives shapes and dtypes in %s', (dtype) => {
    scope(() => {
      const outputs = rmsNorm(floats([5, 123], dtype), floats([5, 123], dtype), floats([123], dtype), dtype);
      expect(outputs.map((t) => t.shape)).toEqual([[5, 123], [5, 123], [5]]);
      expect(outputs.map((t) => t.dtype)).toEqual([dtype, dtype, 'float32']);
      const bare = rmsNorm(floats([5, 123], dtype), none(dtype), floats([123], dtype), dtype);
      expect(bare.map((t) => t.shape)).toEqual([[5, 123], [0], [5]]);
      const mean = readFloats(bare[2] as Tensor).map((rstd) => 1 / rstd ** 2 - 1e-5);
      const x = readFloats(cast(floats([5, 123], dtype), 'float32')).slice(0, 123);
      expect(mean[0]).toBeCloseTo(x.reduce((sum, v) => sum + v * v, 0) / 123, 5);
      return [];
    });
  });

  it('leaves its inputs as they are', () => {
    scope(() => {
      const [x, residual, weight] = [floats([5, 123]), floats([5, 123]), floats([123])];
      const before = [x, residual, weight].map(readFloats);
      rmsNorm(x, residual, weight);
      expect([x, residual, weight].map(readFloats)).toEqual(before);
      return [];
    });
  });

  it('names the shape that does not fit', () => {
    const texts = [
      () => rmsNorm(floats([6]), none(), floats([6])),
      () => rmsNorm(floats([2, 3]), floats([3, 2]), floats([3])),
      () => rmsNorm(floats([2, 3]), none(), floats([4])),
      () => rmsNorm(floats([2, 3]), none(), floats([3]), 'float32', -1),
    ].map(messageOf);
    expect(texts[0]).toContain('RocitRmsNorm: expected x of rank 2, got shape [6]');
    expect(texts[1]).toContain('RocitRmsNorm: expected residual of shape [2,3], got [3,2]');
    expect(texts[2]).toContain('RocitRmsNorm: expected weight of shape [3], got [4]');
    expect(texts[3]).toContain('RocitRmsNorm: expected eps >= 0, got -1');
  });
});

describe.skipIf(!isBuilt)('RocitAdamw', () => {
  it('makes new tensors and tells the norm', () => {
    scope(() => {
      const param = floats([2, 2], 'float32', () => 1);
      const grad = floats([2, 2], 'float32', () => 2);
      const zero = () => floats([2, 2], 'float32', () => 0);
      const [next, , , stats] = adamw([[param], [grad], [zero()], [zero()]]) as [Tensor, Tensor, Tensor, Tensor];
      expect([...readFloats(param)]).toEqual([1, 1, 1, 1]);
      for (const value of readFloats(next)) expect(value).toBeCloseTo(0.99, 6);
      expect([...readFloats(stats)]).toEqual([4, -1]);
      return [];
    });
  });

  it('names lists and settings that do not fit', () => {
    const p = () => floats([3]);
    expect(messageOf(() => adamw([[p()], [p()], [floats([4])], [p()]]))).toContain(
      'RocitAdamw: expected m[0] of shape [3], got [4]',
    );
    const four = () => [[p()], [p()], [p()], [p()]];
    expect(messageOf(() => adamw(four(), floatBits(new Float32Array(8), [8])))).toContain(
      'RocitAdamw: expected hyper of shape [9], got [8]',
    );
    expect(messageOf(() => adamw(four(), hyper({ 1: 1 })))).toContain('RocitAdamw: expected betas in [0, 1), got 1');
    expect(messageOf(() => adamw(four(), hyper({ 8: 0 })))).toContain('RocitAdamw: expected bias corrections > 0');
    expect(messageOf(() => adamw(four(), hyper({ 0: Number.NaN })))).toContain('expected finite hyper values, got nan');
  });
});

describe.skipIf(!isBuilt)('RocitReadTensor', () => {
  it('reads values at a byte offset, with conversion', () => {
    scope(() => {
      expect([...read(readTensor(bytesOf(file), at(4), [2, 2]))]).toEqual(values.slice(1));
      const narrow = readTensor(bytesOf(file), at(0), [5], 'float32', 'bfloat16');
      expect([narrow.dtype, ...read(narrow)]).toEqual(['bfloat16', ...values]);
      return [];
    });
  });

  it('names path, offset and index of what is wrong', () => {
    const missing = join(folder, 'no such file');
    const texts = [
      () => readTensor(bytesOf(missing), at(0), [1]),
      () => readTensor(bytesOf(file), at(8), [5]),
      () => readTensor(bytesOf(file), at(0, 1), [1]),
      () => readTensor(bytesOf(file), at(0, -1), [1]),
      () => readTensor(bytesOf(file), at(4), [5]),
      () => readTensor(bytesOf(folder), at(0), [1]),
      () => readTensor(bytesOf('a\0b'), at(0), [1]),
    ].map(messageOf);
    expect(texts[0]).toContain(`RocitReadTensor: cannot open ${missing}: No such file or directory`);
    expect(texts[1]).toContain(`RocitReadTensor: ${file}: expected 5 values at byte offset 8, got a file of 24 bytes`);
    expect(texts[2]).toContain('expected 1 values at byte offset 4294967296, got a file of 24 bytes');
    expect(texts[3]).toContain('RocitReadTensor: expected offset >= 0, got -4294967296');
    expect(texts[4]).toContain('expected finite values, got NaN or Inf at index 4 of the tensor at byte offset 4');
    expect(texts[5]).toContain('Is a directory');
    expect(texts[6]).toContain('RocitReadTensor: expected a path without zero bytes, got 3 bytes');
  });
});
