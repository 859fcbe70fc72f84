// Block formats of GGUF and their decoding to float32. Layouts and arithmetic as ggml's reference:
// https://github.com/ggml-org/ggml (ggml-quants.c); each value is rounded once, to float32.
import { toFloat32 } from '../engine/ops/read_tensor.ts';
import { bytesOf } from './safetensors.ts';

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
  F32: { values: 1, bytes: 4, decode: (source, out) => out.set(toFloat32(source, 'F32')) },
  F16: { values: 1, bytes: 2, decode: (source, out) => out.set(toFloat32(source, 'F16')) },
  BF16: { values: 1, bytes: 2, decode: (source, out) => out.set(toFloat32(source, 'BF16')) },
  Q4_0: { values: 32, bytes: 18, decode: decodeQ4_0 },
  Q4_1: { values: 32, bytes: 20, decode: decodeQ4_1 },
  Q8_0: { values: 32, bytes: 34, decode: decodeQ8_0 },
} satisfies Record<GgufType, BlockFormat>;

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

let halfTable: Float32Array | null = null;

/** All 65,536 values of float16 as float32, indexed by their bits. */
function halfValues(): Float32Array {
  halfTable ??= toFloat32(bytesOf(Uint16Array.from({ length: 0x10000 }, (_, bits) => bits)), 'F16');
  return halfTable;
}

function halfAt(half: Float32Array, source: Uint8Array, at: number): number {
  return half[(source[at] as number) | ((source[at + 1] as number) << 8)] as number;
}
