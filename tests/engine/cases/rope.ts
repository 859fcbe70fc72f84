// Cases of rope.
import { rope } from '../../../src/engine/ops/rope.ts';
import * as twin from '../../reference/rope.ts';
import type { OpCase, Values } from '../op_case.ts';

interface Setting {
  positions: readonly number[];
  /** Of each tensor. */
  heads: readonly number[];
  head_dim: number;
  rotary_dim?: number;
  interleaved?: boolean;
  tolerance?: number;
}

function ropeCase({ positions, heads, head_dim, rotary_dim = head_dim, ...rest }: Setting): OpCase {
  const { interleaved = false, tolerance } = rest;
  const inv_freq = Float32Array.from({ length: rotary_dim / 2 }, (_, i) => 10_000 ** ((-2 * i) / rotary_dim));
  const position_ids = Int32Array.from(positions);
  const N = positions.length;
  const input = (values: Values, t: number): twin.RopeInput => ({
    num_rows: N,
    num_heads: heads[t] as number,
    head_dim,
    x: values[`x${t}`] as Float64Array,
    position_ids,
    inv_freq,
    interleaved,
  });
  const each = <T>(name: string, make: (t: number) => T): Record<string, T> =>
    Object.fromEntries(heads.map((_, t) => [`${name}${t}`, make(t)]));
  const order = `${interleaved ? ' interleaved' : ''}${rotary_dim < head_dim ? ` rotating ${rotary_dim}` : ''}`;
  return {
    name: `${N}×${heads.join('+')}×${head_dim}${order} to position ${Math.max(0, ...positions)}`,
    inputs: each('x', (t) => ({ shape: [N, (heads[t] as number) * head_dim], trainable: true })),
    run: (tensors) => {
      const x = heads.map((_, t) => tensors[`x${t}`]!);
      const y = rope({ x, head_dim, position_ids, inv_freq, interleaved });
      return each('y', (t) => y[t]!);
    },
    arrays: { position_ids, inv_freq },
    twin: (values) => each('y', (t) => twin.rope(input(values, t))),
    twinGradients: (values, dy) => each('x', (t) => twin.ropeGrad(input(values, t), dy[`y${t}`] as Float64Array)),
    ...(tolerance !== undefined && { tolerance }),
  };
}

export const ropeCases: OpCase[] = [
  ropeCase({ positions: [0, 1, 2, 3, 4], heads: [3], head_dim: 8 }),
  ropeCase({ positions: [0, 1, 2, 1, 2, 0, 1], heads: [9, 3], head_dim: 64 }),
  ropeCase({ positions: [17], heads: [1], head_dim: 128 }),
  ropeCase({ positions: [], heads: [2, 1], head_dim: 8 }),
  ropeCase({ positions: [3, 2, 1], heads: [2], head_dim: 2 }),
  ropeCase({ positions: [0, 5, 63], heads: [3, 1], head_dim: 16, interleaved: true }),
  ropeCase({ positions: [0, 5, 63], heads: [3], head_dim: 16, rotary_dim: 8, interleaved: true }),
  ropeCase({ positions: [0, 5, 63], heads: [3, 3], head_dim: 24, rotary_dim: 6 }),
  // A float32 angle of 8191 · inv_freq is off by up to 2^-12, as in every float32 implementation.
  ropeCase({ positions: [8191, 4097, 1023], heads: [2], head_dim: 32, tolerance: 2 ** -11 }),
];
