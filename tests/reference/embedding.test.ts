// The twin of embedding against PyTorch.
import { describe, expect, it } from 'vitest';
import { embedding } from './embedding.ts';
import { float64, readOpGoldens } from './op_goldens.ts';

describe.each(readOpGoldens().embedding)('twin of embedding, ids $ids', (golden) => {
  const input = { ...golden, weight: float64(golden.weight) };

  it("gives PyTorch's rows", () => {
    expect(embedding(input)).toEqual(float64(golden.y));
  });

  it('refuses ids outside of the table', () => {
    expect(() => embedding({ ...input, ids: [0, 6] })).toThrowErrorMatchingInlineSnapshot(
      `[RangeError: id 6 at 1 is not below 6]`,
    );
    expect(() => embedding({ ...input, ids: [-1] })).toThrowErrorMatchingInlineSnapshot(
      `[RangeError: id -1 at 0 is not below 6]`,
    );
  });
});
