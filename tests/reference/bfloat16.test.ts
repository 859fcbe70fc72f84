// Rounding to bfloat16 against PyTorch's, bit by bit.
import { describe, expect, it } from 'vitest';
import { bfloat16Bits, bfloat16Value, float32Bits, roundToBfloat16 } from './bfloat16.ts';
import { readOpGoldens } from './op_goldens.ts';

describe('bfloat16', () => {
  const [golden] = readOpGoldens().bfloat16;

  it('rounds to the bits PyTorch rounds to: ties to even, zeros, subnormals, overflow to infinity', () => {
    const values = new Float32Array(Uint32Array.from(golden!.float32_bits).buffer);
    expect([...values].map(bfloat16Bits)).toEqual(golden!.bfloat16_bits);
    expect(values.length).toBeGreaterThan(50);
  });

  it('keeps each of the 65,536 values, NaN as NaN', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = bfloat16Value(bits);
      if (Number.isNaN(value)) expect(roundToBfloat16(value)).toBeNaN();
      else if (bfloat16Bits(value) !== bits) expect.fail(`bits ${bits} became ${bfloat16Bits(value)}`);
    }
  });

  it('reads the bits of a float32', () => {
    expect(float32Bits(1)).toBe(0x3f800000);
    expect(float32Bits(-0)).toBe(0x80000000);
  });
});
