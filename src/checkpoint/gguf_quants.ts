// Block formats of GGUF and their decoding to float32. Layouts and arithmetic as ggml's reference:
// https://github.com/ggml-org/ggml (ggml-quants.c); each value is rounded once, to float32.
import { fromBfloat16, halfValues } from './float_bits.ts';

interface BlockFormat {
  /** Values in a block. */
  values: number;
  /** Bytes of a block. */
  bytes: number;
  decode(source: Uint8Array, out: Float32Array): void;
}

export type GgufType = 'F32' | 'F16' | 'BF16' | 'Q4_0' | 'Q4_1' | 'Q8_0';

/** ggml's numbers of the tensor types that can be decoded. */
export const GGUF_TYPES: ReadonlyMap<number, GgufType> = new Map([
  [0, 'F32'],
  [1, 'F16'],
  [2, 'Q4_0'],
  [3, 'Q4_1'],
  [8, 'Q8_0'],
  [30, 'BF16'],
]);

export const BLOCK_FORMATS = {
  F32: { values: 1, bytes: 4, decode: decodeF32 },
  F16: { values: 1, bytes: 2, decode: decodeF16 },
  BF16: { values: 1, bytes: 2, decode: decodeBF16 },
  Q4_0: { values: 32, bytes: 18, decode: decodeQ4_0 },
  Q4_1: { values: 32, bytes: 20, decode: decodeQ4_1 },
  Q8_0: { values: 32, bytes: 34, decode: decodeQ8_0 },
} satisfies Record<GgufType, BlockFormat>;

function decodeF32(source: Uint8Array, out: Float32Array): void {
  new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(source);
}

function decodeF16(source: Uint8Array, out: Float32Array): void {
  const half = halfValues();
  for (let i = 0; i < out.length; i++) out[i] = halfAt(half, source, 2 * i);
}

function decodeBF16(source: Uint8Array, out: Float32Array): void {
  const bits = new Uint16Array(out.length);
  new Uint8Array(bits.buffer).set(source);
  out.set(fromBfloat16(bits));
}

/** Block: float16 d, 16 bytes of nibbles; low nibbles are values 0-15, high ones 16-31; d * (q - 8). */
function decodeQ4_0(source: Uint8Array, out: Float32Array): void {
  const half = halfValues();
  for (let base = 0, at = 0; base < out.length; base += 32, at += 18) {
    const d = halfAt(half, source, at);
    for (let i = 0; i < 16; i++) {
      const pair = source[at + 2 + i] as number;
      out[base + i] = d * ((pair & 15) - 8);
      out[base + 16 + i] = d * ((pair >> 4) - 8);
    }
  }
}

/** Block: float16 d, float16 m, nibbles as in Q4_0; d * q + m. */
function decodeQ4_1(source: Uint8Array, out: Float32Array): void {
  const half = halfValues();
  for (let base = 0, at = 0; base < out.length; base += 32, at += 20) {
    const d = halfAt(half, source, at);
    const m = halfAt(half, source, at + 2);
    for (let i = 0; i < 16; i++) {
      const pair = source[at + 4 + i] as number;
      out[base + i] = d * (pair & 15) + m;
      out[base + 16 + i] = d * (pair >> 4) + m;
    }
  }
}

/** Block: float16 d, 32 signed bytes; d * q. */
function decodeQ8_0(source: Uint8Array, out: Float32Array): void {
  const half = halfValues();
  const signed = new Int8Array(source.buffer, source.byteOffset, source.byteLength);
  for (let base = 0, at = 0; base < out.length; base += 32, at += 34) {
    const d = halfAt(half, source, at);
    for (let i = 0; i < 32; i++) out[base + i] = d * (signed[at + 2 + i] as number);
  }
}

function halfAt(half: Float32Array, source: Uint8Array, at: number): number {
  return half[(source[at] as number) | ((source[at + 1] as number) << 8)] as number;
}
