// Cases of tree_attention.
import { createRng } from '../../../src/core/rng.ts';
import { treeAttention } from '../../../src/engine/ops/tree_attention.ts';
import * as twin from '../../reference/tree_attention.ts';
import type { OpCase, Values } from '../op_case.ts';

interface Setting {
  name: string;
  ends: readonly number[];
  heads: readonly [number, number];
  head_dim: number;
  query_start?: number;
  scale?: number;
}

function attentionCase({ name, ends, heads: [H, K], head_dim: D, query_start = 0, scale = 1 }: Setting): OpCase {
  const subtree_end = Int32Array.from(ends);
  const [S, N] = [ends.length, ends.length - query_start];
  const factor = 1 / Math.sqrt(D);
  const input = (values: Values): twin.TreeAttentionInput => ({
    num_queries: N,
    num_keys: S,
    num_heads: H,
    num_key_value_heads: K,
    head_dim: D,
    q: values.q as Float64Array,
    k: values.k as Float64Array,
    v: values.v as Float64Array,
    subtree_end,
    query_start,
    scale: factor,
  });
  const trainable = query_start === 0;
  return {
    name: `${name}, ${H}/${K} heads of ${D}${query_start > 0 ? ` from query ${query_start}` : ''}`,
    inputs: {
      q: { shape: [N, H * D], trainable, scale },
      k: { shape: [S, K * D], trainable, scale },
      v: { shape: [S, K * D], trainable },
    },
    run: ({ q, k, v }) => ({
      o: treeAttention({
        q: q!,
        k: k!,
        v: v!,
        num_heads: H,
        num_key_value_heads: K,
        subtree_end,
        query_start,
        scale: factor,
      }),
    }),
    arrays: { subtree_end },
    twin: (values) => ({ o: twin.treeAttention(input(values)).o }),
    twinGradients(values, { o }) {
      if (!trainable) return {};
      const { dq, dk, dv } = twin.treeAttentionGrad(input(values), o as Float64Array);
      return { q: dq, k: dk, v: dv };
    },
  };
}

/** Bounds of sequences packed one after the other. */
export function sequenceEnds(...lengths: number[]): number[] {
  let end = 0;
  return lengths.flatMap((length) => {
    end += length;
    return Array<number>(length).fill(end);
  });
}

/** Bounds of a random forest of `size` tokens: each token hangs below one of the last `window` on the path to its left. */
export function forestEnds(size: number, window: number): number[] {
  const rng = createRng(1, 'forest', size, window);
  const ends = Array<number>(size).fill(size);
  let path: number[] = [];
  for (let i = 0; i < size; i++) {
    const keep = Math.max(0, path.length - rng.int(window));
    for (const closed of path.slice(keep)) ends[closed] = i;
    path = [...path.slice(0, keep), i];
  }
  return ends;
}

export const treeAttentionCases: OpCase[] = [
  attentionCase({ name: 'one sequence of 5', ends: sequenceEnds(5), heads: [2, 2], head_dim: 8 }),
  attentionCase({ name: 'one token', ends: [1], heads: [2, 1], head_dim: 8 }),
  attentionCase({ name: 'sequences of one token', ends: sequenceEnds(1, 1, 1), heads: [2, 2], head_dim: 8 }),
  attentionCase({ name: 'two segments', ends: sequenceEnds(7, 6), heads: [4, 2], head_dim: 8 }),
  attentionCase({ name: 'segments of 1 to 4', ends: sequenceEnds(3, 1, 4, 2), heads: [9, 3], head_dim: 5 }),
  attentionCase({ name: 'no token', ends: [], heads: [2, 1], head_dim: 8 }),
  attentionCase({
    name: 'three answers below a prompt',
    ends: [9, 9, 9, 5, 5, 7, 7, 9, 9],
    heads: [2, 1],
    head_dim: 8,
  }),
  attentionCase({ name: 'deep tree of 21', ends: forestEnds(21, 3), heads: [3, 1], head_dim: 6 }),
  attentionCase({ name: 'forest of 61', ends: forestEnds(61, 8), heads: [9, 3], head_dim: 64 }),
  attentionCase({ name: 'forest of 19', ends: forestEnds(19, 5), heads: [32, 2], head_dim: 16 }),
  attentionCase({ name: 'chain of 33', ends: sequenceEnds(33), heads: [2, 1], head_dim: 128 }),
  attentionCase({ name: 'steep scores', ends: forestEnds(12, 4), heads: [2, 2], head_dim: 8, scale: 2 }),
  attentionCase({ name: 'last query', ends: sequenceEnds(9), heads: [4, 2], head_dim: 8, query_start: 8 }),
  attentionCase({
    name: 'branches below a cached prompt',
    ends: [10, 10, 10, 10, 7, 7, 7, 10, 10, 10],
    heads: [4, 2],
    head_dim: 8,
    query_start: 4,
  }),
  attentionCase({ name: 'a cached segment', ends: sequenceEnds(4, 5), heads: [4, 2], head_dim: 8, query_start: 6 }),
];
