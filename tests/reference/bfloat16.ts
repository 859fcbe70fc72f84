// bfloat16 by its definition: the upper 16 bits of a float32, rounded to nearest, ties to even.

/** The 16 bits of the bfloat16 nearest to `value` (first rounded to float32). NaN becomes 0x7fc0; too large becomes Inf. */
export function bfloat16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7fc0;
  const bits = float32Bits(value);
  const upper = bits >>> 16;
  const rest = bits & 0xffff;
  const roundsUp = rest > 0x8000 || (rest === 0x8000 && upper % 2 === 1);
  return roundsUp ? upper + 1 : upper;
}

/** The number that 16 bits of bfloat16 stand for. */
export function bfloat16Value(bits: number): number {
  return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
}

/** `value` rounded to the nearest bfloat16. */
export function roundToBfloat16(value: number): number {
  return bfloat16Value(bfloat16Bits(value));
}

/** The 32 bits of `value` as float32, as an unsigned integer. */
export function float32Bits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}
