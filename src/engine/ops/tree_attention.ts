// Attention over a pack of prefix trees: query q sees key k exactly when k <= q < subtree_end[k] (column-wise mask
// bounds, FlashMask, arXiv 2410.01359). Ordinary packing is the case where subtree_end is the end of each sequence.
// Softmax is float32. The output and one log-sum-exp a row are saved; backward recomputes the probabilities.
import { needsGradient, record } from '../autograd.ts';
import type { Attributes } from '../backend.ts';
import { constant } from '../host_inputs.ts';
import * as p from '../primitives.ts';
import { hasKernel } from '../runtime.ts';
import { runMany, scope, type Tensor, tensor } from '../tensor.ts';
import { check, checkFinite, checkFloat, checkShapes } from './check.ts';

export interface TreeAttentionArguments {
  /** [N, H · D]. */
  q: Tensor;
  /** [S, K · D]; head h of q reads key head h / (H / K). */
  k: Tensor;
  /** [S, K · D]. */
  v: Tensor;
  num_heads: number;
  num_key_value_heads: number;
  /** [S], nested: index after the last key that hangs below each key. */
  subtree_end: Int32Array;
  /** Row i of q is token query_start + i; keys before it come from a cache. 0 when training. */
  query_start: number;
  /** Factor of the scores, 1 / sqrt(D) as a rule. */
  scale: number;
}

const ZERO = Int32Array.of(0);

/** Rows of keys [begin, end) that see only each other, and the queries among them. */
interface Segment {
  begin: number;
  end: number;
  queryBegin: number;
}

/** [N, H · D]. */
export function treeAttention(args: TreeAttentionArguments): Tensor {
  const { q, k, v } = args;
  checkAttention('tree_attention', args);
  const { out, saved, backward } = scope(() => (isForKernel(args) ? forwardKernel(args) : forwardComposition(args)));
  if (needsGradient(q, k, v)) {
    record({
      inputs: [q, k, v],
      outputs: [out],
      saved: [q, k, v, out, ...saved],
      backward: ([dout]) => backward(dout as Tensor),
    });
  }
  return out;
}

interface Forward {
  out: Tensor;
  /** What backward reads beside the arguments and `out`. */
  saved: Tensor[];
  /** Gradients of q, k and v. */
  backward: (dout: Tensor) => Tensor[];
}

function isForKernel({ q }: TreeAttentionArguments): boolean {
  return hasKernel('RocitTreeAttention') && hasKernel('RocitTreeAttentionGrad') && (q.shape[1] as number) > 0;
}

function forwardKernel(args: TreeAttentionArguments): Forward {
  const { q, k, v } = args;
  const { bounds, attributes } = attentionInputs(args);
  const all = { T: { type: q.dtype }, ...attributes };
  const [out, lse] = runMany('RocitTreeAttention', all, [q, k, v, ...bounds], 2) as [Tensor, Tensor];
  const backward = (dout: Tensor) => runMany('RocitTreeAttentionGrad', all, [dout, q, k, v, out, lse, ...bounds], 3);
  return { out, saved: [lse], backward };
}

/** Attributes of the kernels but T, and their inputs subtree_end and query_start. */
export function attentionInputs({
  num_heads,
  num_key_value_heads,
  scale,
  subtree_end,
  query_start,
}: TreeAttentionArguments): { attributes: Attributes; bounds: Tensor[] } {
  const start = query_start === 0 ? constant(ZERO, []) : tensor(Int32Array.of(query_start), []);
  return {
    attributes: { num_heads, num_key_value_heads, scale: { float: scale } },
    bounds: [constant(subtree_end), start],
  };
}

function forwardComposition(args: TreeAttentionArguments): Forward {
  const segments = splitAtRoots(args.subtree_end, args.query_start);
  const { out, lse } = forward(args, segments);
  return { out, saved: lse, backward: (dout) => backward(args, segments, { dout, out, lse }) };
}

export function checkAttention(
  op: string,
  { q, k, v, num_heads, num_key_value_heads, subtree_end, query_start, scale }: TreeAttentionArguments,
): void {
  const { N = 0, S = 0, W = 0, X = 0 } = checkShapes(op, { q: [q, 'N', 'W'], k: [k, 'S', 'X'], v: [v, 'S', 'X'] });
  checkFloat(op, { q, k, v });
  checkFinite(op, { scale });
  check(
    op,
    [num_heads, num_key_value_heads].every((n) => Number.isInteger(n) && n > 0),
    () => `expected numbers of heads from 1, got ${num_heads} and ${num_key_value_heads}`,
  );
  check(
    op,
    num_heads % num_key_value_heads === 0 && W * num_key_value_heads === X * num_heads && W % num_heads === 0,
    () => `expected widths of ${num_heads} query and ${num_key_value_heads} key heads of one size, got ${W} and ${X}`,
  );
  check(op, subtree_end.length === S, () => `expected ${S} subtree ends, got ${subtree_end.length}`);
  check(
    op,
    query_start >= 0 && query_start + N === S,
    () => `expected the queries to end with the ${S} keys, got ${query_start} + ${N}`,
  );
  check(
    op,
    query_start === 0 || !needsGradient(q, k, v),
    () => `expected query_start 0 where gradients are needed, got ${query_start}`,
  );
  if (nested.has(subtree_end)) return;
  checkNesting(op, subtree_end);
  nested.add(subtree_end);
}

/** Bounds that were checked; all layers share them. */
const nested = new WeakSet<Int32Array>();

function checkNesting(op: string, subtree_end: Int32Array): void {
  const open: number[] = [];
  subtree_end.forEach((end, i) => {
    while (open.length > 0 && (open.at(-1) as number) <= i) open.pop();
    const limit = open.at(-1) ?? subtree_end.length;
    check(
      op,
      end > i && end <= limit,
      () => `expected subtree_end[${i}] in (${i}, ${limit}], so that subtrees nest, got ${end}`,
    );
    open.push(end);
  });
}

/** Roots of the forest: no query sees a key across their borders. Segments without queries are left out. */
function splitAtRoots(subtree_end: Int32Array, query_start: number): Segment[] {
  const segments: Segment[] = [];
  for (let begin = 0; begin < subtree_end.length; ) {
    const end = subtree_end[begin] as number;
    if (end > query_start) segments.push({ begin, end, queryBegin: Math.max(begin, query_start) });
    begin = end;
  }
  return segments;
}

function forward(args: TreeAttentionArguments, segments: Segment[]): { out: Tensor; lse: Tensor[] } {
  const { q, query_start } = args;
  if (segments.length === 0) return { out: p.identity(q), lse: [] };
  const parts = segments.map((segment) =>
    scope(() => {
      const scores = maskedScores(args, segment);
      const top = p.max(scores, [2], true);
      const weights = p.exp(p.sub(scores, top));
      const total = p.sum(weights, [2], true);
      const probabilities = p.cast(p.div(weights, total), q.dtype);
      const out = p.batchMatMul(probabilities, keyHeads(args.v, args, segment));
      return { out: fromGroups(out, args), lse: p.add(p.log(total), top) };
    }),
  );
  const first = segments[0]?.queryBegin;
  check('tree_attention', first === query_start, () => `expected a segment for query ${query_start}, got ${first}`);
  return {
    out: p.concat(
      parts.map((part) => part.out),
      0,
    ),
    lse: parts.map((part) => part.lse),
  };
}

interface Gradient {
  dout: Tensor;
  out: Tensor;
  lse: Tensor[];
}

// P = exp(scores − lse);  dV = Pᵀ dO;  dS = P ∘ (dO Vᵀ − rowsum(dO ∘ O));  dQ = scale · dS K;  dK = scale · dSᵀ Q
function backward(args: TreeAttentionArguments, segments: Segment[], { dout, out, lse }: Gradient): Tensor[] {
  if (segments.length === 0) return [args.q, args.k, args.v].map(p.zerosLike);
  const parts = segments.map((segment, i) =>
    scope(() => {
      const { dtype } = dout;
      const P = p.exp(p.sub(maskedScores(args, segment), lse[i] as Tensor));
      const dO = queryGroups(dout, args, segment);
      const k = keyHeads(args.k, args, segment);
      const dP = p.cast(p.batchMatMul(dO, keyHeads(args.v, args, segment), { transposeB: true }), 'float32');
      const dot = p.mul(p.cast(dO, 'float32'), p.cast(queryGroups(out, args, segment), 'float32'));
      const dS = p.cast(p.mul(p.mul(P, p.sub(dP, p.sum(dot, [2], true))), args.scale), dtype);
      return [
        fromGroups(p.batchMatMul(dS, k), args),
        fromKeyHeads(p.batchMatMul(dS, queryGroups(args.q, args, segment), { transposeA: true })),
        fromKeyHeads(p.batchMatMul(p.cast(P, dtype), dO, { transposeA: true })),
      ];
    }),
  );
  return [0, 1, 2].map((i) =>
    p.concat(
      parts.map((part) => part[i] as Tensor),
      0,
    ),
  );
}

/** Scaled scores with −inf where a query does not see a key: [K, H / K · queries, keys] float32. */
function maskedScores(args: TreeAttentionArguments, segment: Segment): Tensor {
  const { begin, end, queryBegin } = segment;
  const [queries, keys, group] = [end - queryBegin, end - begin, args.num_heads / args.num_key_value_heads];
  const q = queryGroups(args.q, args, segment);
  const product = p.batchMatMul(q, keyHeads(args.k, args, segment), { transposeB: true });
  const scores = p.mul(p.cast(product, 'float32'), args.scale);
  const query = p.reshape(p.range(queryBegin, queries), [queries, 1]);
  const key = p.reshape(p.range(begin, keys), [1, keys]);
  const bound = tensor(args.subtree_end.slice(begin, end), [1, keys]);
  const visible = p.reshape(p.logicalAnd(p.lessEqual(key, query), p.less(query, bound)), [1, 1, queries, keys]);
  const shape = [args.num_key_value_heads, group, queries, keys];
  const masked = p.select(visible, p.reshape(scores, shape), p.fill(Number.NEGATIVE_INFINITY, [], 'float32'));
  return p.reshape(masked, [args.num_key_value_heads, group * queries, keys]);
}

/** The segment's queries with the heads that share a key head stacked: [K, H / K · queries, D]. */
function queryGroups(
  t: Tensor,
  { num_heads: H, num_key_value_heads: K, query_start }: TreeAttentionArguments,
  segment: Segment,
): Tensor {
  const queries = segment.end - segment.queryBegin;
  const D = (t.shape[1] as number) / H;
  const part = p.reshape(p.rows(t, segment.queryBegin - query_start, queries), [queries, H, D]);
  return p.reshape(p.transpose(part, [1, 0, 2]), [K, (H / K) * queries, D]);
}

/** Inverse of queryGroups: [queries, H · D]. */
function fromGroups(t: Tensor, { num_heads: H, num_key_value_heads: K }: TreeAttentionArguments): Tensor {
  const [, stacked = 0, D = 0] = t.shape;
  const queries = (stacked * K) / H;
  return p.reshape(p.transpose(p.reshape(t, [H, queries, D]), [1, 0, 2]), [queries, H * D]);
}

/** The segment's keys or values: [K, keys, D]. */
function keyHeads(t: Tensor, { num_key_value_heads: K }: TreeAttentionArguments, { begin, end }: Segment): Tensor {
  const D = (t.shape[1] as number) / K;
  return p.transpose(p.reshape(p.rows(t, begin, end - begin), [end - begin, K, D]), [1, 0, 2]);
}

/** Inverse of keyHeads: [keys, K · D]. */
function fromKeyHeads(t: Tensor): Tensor {
  const [K = 0, keys = 0, D = 0] = t.shape;
  return p.reshape(p.transpose(t, [1, 0, 2]), [keys, K * D]);
}
