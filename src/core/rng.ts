// Seeded random numbers: xoshiro128** (Blackman and Vigna 2018), its state a SHA-256 of
// the seed and the names of the stream. Every generator is a pure function of its arguments.
import { createHash } from 'node:crypto';

export interface Rng {
  /** A float in [0, 1) with 32 random bits. */
  next(): number;
  /** An integer in [0, n). */
  int(n: number): number;
  /** A standard normal number (Box-Muller). */
  normal(): number;
  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[];
}

/** The generator of one stream, e.g. `createRng(seed, 'lora', name)`; different names give independent streams. */
export function createRng(seed: number, ...stream: (string | number)[]): Rng {
  const state = seedState(seed, stream);
  const next = () => nextUint32(state) / 0x1_0000_0000;
  const int = (n: number) => Math.floor(next() * n);
  return {
    next,
    int,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    shuffle<T>(items: readonly T[]): T[] {
      const out = [...items];
      for (let i = out.length - 1; i > 0; i--) {
        const j = int(i + 1);
        [out[i], out[j]] = [out[j] as T, out[i] as T];
      }
      return out;
    },
  };
}

/** A 32-bit seed for a device-side generator, from the same names. */
export function deriveSeed(seed: number, ...stream: (string | number)[]): number {
  return seedState(seed, stream)[0] as number;
}

function seedState(seed: number, stream: (string | number)[]): Uint32Array {
  const digest = createHash('sha256')
    .update(JSON.stringify([seed, ...stream]))
    .digest();
  return Uint32Array.from({ length: 4 }, (_, i) => digest.readUInt32LE(4 * i));
}

function nextUint32(s: Uint32Array): number {
  const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = s;
  const mixed2 = s2 ^ s0;
  const mixed3 = s3 ^ s1;
  s[0] = s0 ^ mixed3;
  s[1] = s1 ^ mixed2;
  s[2] = mixed2 ^ (s1 << 9);
  s[3] = rotateLeft(mixed3, 11);
  return Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
}

function rotateLeft(x: number, k: number): number {
  return (x << k) | (x >>> (32 - k));
}
