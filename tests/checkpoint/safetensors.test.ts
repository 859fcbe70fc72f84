// safetensors headers of every kind of damage, and the writer.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader, type SafetensorsDType, writeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { userErrorOf } from './user_error.ts';

const folder = temporaryFolder();
const path = join(folder, 'x.safetensors');

/** A file with this header text and so many bytes of data. */
function faultOf(header: unknown, dataBytes: number, length?: number): string {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(length ?? json.length));
  writeFileSync(path, Buffer.concat([size, json, Buffer.alloc(dataBytes)]));
  return userErrorOf(() => readSafetensorsHeader(path), folder);
}

const entry = (shape: number[], begin: number, end: number, dtype = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe('readSafetensorsHeader', () => {
  it('refuses a header longer than the file', () => {
    expect(faultOf({}, 0, 1000)).toMatchInlineSnapshot(
      `"<folder>/x.safetensors: expected a valid safetensors file, got a header of 1000 bytes in a file of 10; download or save it again."`,
    );
  });

  it('refuses a file that is absent, tiny, or a Git LFS pointer', () => {
    expect(userErrorOf(() => readSafetensorsHeader(join(folder, 'none')), folder)).toMatchInlineSnapshot(
      `"<folder>/none: expected a safetensors file, got no such file; check the path."`,
    );
    writeFileSync(path, 'abc');
    expect(userErrorOf(() => readSafetensorsHeader(path), folder)).toMatchInlineSnapshot(
      `"<folder>/x.safetensors: expected a valid safetensors file, got only 3 bytes; download or save it again."`,
    );
    writeFileSync(path, 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n');
    expect(userErrorOf(() => readSafetensorsHeader(path), folder)).toContain('(a Git LFS pointer: run `git lfs pull`)');
  });

  it('refuses a header that is not a JSON object', () => {
    expect(faultOf('{"a": ', 0)).toMatch(/a header that is not JSON \(.+\); download or save it again/);
    expect(faultOf('[]', 0)).toContain('a header that is not an object');
  });

  it('refuses overlapping tensors, holes, and bytes behind the last', () => {
    expect(faultOf({ a: entry([2], 0, 8), b: entry([2], 4, 12) }, 12)).toMatchInlineSnapshot(
      `"<folder>/x.safetensors: expected a valid safetensors file, got b overlapping a; download or save it again."`,
    );
    expect(faultOf({ a: entry([1], 0, 4), b: entry([1], 8, 12) }, 12)).toMatchInlineSnapshot(
      `"<folder>/x.safetensors: expected a valid safetensors file, got 4 bytes of nothing before b; download or save it again."`,
    );
    expect(faultOf({ a: entry([1], 0, 4) }, 12)).toMatchInlineSnapshot(
      `"<folder>/x.safetensors: expected a valid safetensors file, got 8 bytes behind the last tensor; download or save it again."`,
    );
  });

  it('names every tensor with wrong offsets, byte counts, dtypes or shapes at once', () => {
    const header = {
      outside: entry([2], 8, 16),
      backwards: entry([1], 8, 4),
      short: entry([3], 0, 8),
      complex: entry([1], 0, 8, 'C64'),
      negative: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] },
      vague: { dtype: 'F32', shape: [1] },
      text: 'x',
    };
    expect(faultOf(header, 12)).toMatchInlineSnapshot(
      `"<folder>/x.safetensors: expected a valid safetensors file, got outside: offsets 8 to 16 in 12 bytes of data; backwards: offsets 8 to 4 in 12 bytes of data; short: 8 bytes for F32 [3] (12 bytes); complex: dtype C64 (known: F32, F16, BF16, I32, I64, U8); negative: shape [-1]; vague: offsets undefined; text: no object; download or save it again."`,
    );
  });

  it('refuses a name that stands twice, though JSON allows it', () => {
    const one = JSON.stringify(entry([1], 0, 4));
    expect(
      faultOf(`{"a": ${one}, "b{\\"": ${JSON.stringify(entry([0], 4, 4))}, "a": ${one}}`, 4),
    ).toMatchInlineSnapshot(
      `"<folder>/x.safetensors: expected a valid safetensors file, got the name a twice; download or save it again."`,
    );
  });
});

describe('writeSafetensors', () => {
  it('gives back names, shapes, bytes and metadata, with aligned data and the same bytes each time', () => {
    const dtypes: SafetensorsDType[] = ['F32', 'F16', 'BF16', 'I32', 'I64', 'U8'];
    const widths = { F32: 4, F16: 2, BF16: 2, I32: 4, I64: 8, U8: 1 };
    const oneTensor = fc.record({
      dtype: fc.constantFrom(...dtypes),
      shape: fc.array(fc.nat(4), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.dictionary(fc.string({ minLength: 1 }), oneTensor), (made) => {
        const tensors = Object.entries(made).map(([name, { dtype, shape }], i) => ({
          name: `t.${name}`,
          dtype,
          shape,
          data: new Uint8Array(shape.reduce((a, b) => a * b, widths[dtype])).fill(i + 1),
        }));
        writeSafetensors(path, tensors, { format: 'pt' });
        const bytes = readFileSync(path);
        const { tensors: read, metadata } = readSafetensorsHeader(path);
        expect(metadata).toEqual({ format: 'pt' });
        expect(read.size).toBe(tensors.length);
        for (const { name, dtype, shape, data } of tensors) {
          const info = read.get(name);
          expect(info).toMatchObject({ dtype, shape, bytes: data.length });
          expect(bytes.subarray(info?.offset, (info?.offset ?? 0) + data.length).equals(data)).toBe(true);
        }
        expect(Number(bytes.readBigUInt64LE()) % 8).toBe(0);
        writeSafetensors(path, tensors, { format: 'pt' });
        expect(readFileSync(path).equals(bytes)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it('leaves the old file as it was, and nothing else, when writing fails half-way', () => {
    writeSafetensors(path, [{ name: 'old', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) }]);
    const before = readFileSync(path);
    const failing = {
      name: 'b',
      dtype: 'U8' as const,
      shape: [1],
      data: (): Uint8Array => {
        throw new Error('no data');
      },
    };
    const whole = { name: 'a', dtype: 'U8' as const, shape: [1], data: Uint8Array.of(1) };
    expect(() => writeSafetensors(path, [whole, failing])).toThrow('no data');
    expect(readFileSync(path).equals(before)).toBe(true);
    expect(readdirSync(folder)).toEqual(['x.safetensors']);
    expect(existsSync(path)).toBe(true);
  });
});
