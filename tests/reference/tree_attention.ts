// Float64 twin of tree_attention: softmax attention in which query q sees key k exactly when k <= q < subtree_end[k].
// Query heads are served by key/value heads in groups of equal size. Value, log-sum-exp, dq, dk, dv by plain loops.

/**
 * q is [N, H, D] = [num_queries, num_heads, head_dim]; k and v are [S, K, D] = [num_keys, num_key_value_heads, head_dim];
 * subtree_end [S]. Row i of q is query query_start + i, and the last query is key S − 1 or earlier.
 */
export interface TreeAttentionInput {
  num_queries: number;
  num_keys: number;
  num_heads: number;
  num_key_value_heads: number;
  head_dim: number;
  q: Float64Array;
  k: Float64Array;
  v: Float64Array;
  subtree_end: ArrayLike<number>;
  query_start: number;
  scale: number;
}

/** Offsets of one query row and head, of its key/value head, and the softmax weights over all keys (0 where unseen). */
interface Row {
  row: number;
  keyOffset: (key: number) => number;
  probabilities: Float64Array;
  lse: number;
}

function dot(a: Float64Array, aStart: number, b: Float64Array, bStart: number, size: number): number {
  let total = 0;
  for (let d = 0; d < size; d++) total += a[aStart + d]! * b[bStart + d]!;
  return total;
}

function attend(input: TreeAttentionInput, index: number, head: number): Row {
  const { num_keys, num_heads, num_key_value_heads, head_dim, q, k, subtree_end, query_start, scale } = input;
  const row = (index * num_heads + head) * head_dim;
  const keyHead = Math.floor(head / (num_heads / num_key_value_heads));
  const keyOffset = (key: number): number => (key * num_key_value_heads + keyHead) * head_dim;
  const query = query_start + index;
  const scores = new Float64Array(num_keys).fill(-Infinity);
  for (let key = 0; key < num_keys; key++) {
    if (key <= query && query < subtree_end[key]!) scores[key] = scale * dot(q, row, k, keyOffset(key), head_dim);
  }
  const largest = Math.max(...scores);
  let total = 0;
  for (const score of scores) total += Math.exp(score - largest);
  const lse = largest + Math.log(total);
  return { row, keyOffset, probabilities: scores.map((score) => Math.exp(score - lse)), lse };
}

/** o [N, H, D] and lse [N, H], the natural log-sum-exp of each row's scaled scores. */
export function treeAttention(input: TreeAttentionInput): { o: Float64Array; lse: Float64Array } {
  const { num_queries, num_keys, num_heads, head_dim, v } = input;
  const o = new Float64Array(num_queries * num_heads * head_dim);
  const lse = new Float64Array(num_queries * num_heads);
  for (let index = 0; index < num_queries; index++) {
    for (let head = 0; head < num_heads; head++) {
      const { row, keyOffset, probabilities, lse: rowLse } = attend(input, index, head);
      lse[index * num_heads + head] = rowLse;
      for (let key = 0; key < num_keys; key++) {
        for (let d = 0; d < head_dim; d++) o[row + d] = o[row + d]! + probabilities[key]! * v[keyOffset(key) + d]!;
      }
    }
  }
  return { o, lse };
}

/** dq [N, H, D], dk and dv [S, K, D] for `gradient` = do [N, H, D]: with P the weights, dS = P · (do·v − Σ P · (do·v)). */
export function treeAttentionGrad(
  input: TreeAttentionInput,
  gradient: Float64Array,
): { dq: Float64Array; dk: Float64Array; dv: Float64Array } {
  const { num_queries, num_keys, num_heads, head_dim, q, k, v, scale } = input;
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  for (let index = 0; index < num_queries; index++) {
    for (let head = 0; head < num_heads; head++) {
      const { row, keyOffset, probabilities } = attend(input, index, head);
      const dp = probabilities.map((_, key) => dot(gradient, row, v, keyOffset(key), head_dim));
      const mean = dot(dp, 0, probabilities, 0, num_keys);
      for (let key = 0; key < num_keys; key++) {
        const ds = scale * probabilities[key]! * (dp[key]! - mean);
        for (let d = 0; d < head_dim; d++) {
          const column = keyOffset(key) + d;
          dq[row + d] = dq[row + d]! + ds * k[column]!;
          dk[column] = dk[column]! + ds * q[row + d]!;
          dv[column] = dv[column]! + probabilities[key]! * gradient[row + d]!;
        }
      }
    }
  }
  return { dq, dk, dv };
}
