// The twin of rope against transformers (half-split) and complex multiplication in PyTorch (interleaved), in float64.
import { describe, expect, it } from 'vitest';
import { centralDifference, weightedSum } from './central_difference.ts';
import { float64, readOpGoldens } from './op_goldens.ts';
import { relativeError } from './relative_error.ts';
import { rope, ropeGrad } from './rope.ts';

describe.each(readOpGoldens().rope)('twin of rope, head_dim $head_dim, interleaved $interleaved', (golden) => {
  const input = { ...golden, x: float64(golden.x) };
  const dy = float64(golden.dy);

  it("gives PyTorch's value and gradient", () => {
    expect(relativeError(rope(input), golden.y)).toBeLessThan(1e-13);
    expect(relativeError(ropeGrad(input, dy), golden.dx)).toBeLessThan(1e-13);
  });

  it('gives the gradient of central differences', () => {
    const numeric = centralDifference((x) => weightedSum(rope({ ...input, x }), dy), input.x);
    expect(relativeError(ropeGrad(input, dy), numeric)).toBeLessThan(1e-8);
  });

  it('leaves position 0 and the channels beyond the rotary part as they are', () => {
    const { num_heads, head_dim, position_ids, inv_freq } = input;
    expect(position_ids[0]).toBe(0);
    const unchanged = rope(input).filter((_, i) => i < num_heads * head_dim || i % head_dim >= 2 * inv_freq.length);
    expect(unchanged).toEqual(
      input.x.filter((_, i) => i < num_heads * head_dim || i % head_dim >= 2 * inv_freq.length),
    );
  });
});
