// Samples as one prefix tree, found on token ids at any depth, and cut into parts that fit into packs. Rows that several
// samples of a part begin with are counted, and computed, once (tree packing: Tree Training, arXiv 2511.00413).
import type { TokenizedSample } from './sample.ts';

/** Rows of a sample: all of its tokens but the last, which is only predicted. */
export function numRows({ input_ids }: Pick<TokenizedSample, 'input_ids'>): number {
  return input_ids.length - 1;
}

/** Rows that both samples begin with. */
export function sharedRows(a: TokenizedSample, b: TokenizedSample): number {
  const [x, y] = [a.input_ids, b.input_ids];
  const limit = Math.min(x.length, y.length) - 1;
  let row = 0;
  while (row < limit && x[row] === y[row]) row += 1;
  return row;
}

/** Indices of the samples as the leaves of their prefix tree in depth-first order; a prefix stands before what it begins. */
export function depthFirst(samples: readonly TokenizedSample[]): number[] {
  const compare = (i: number, j: number) => {
    const [a, b] = [samples[i] as TokenizedSample, samples[j] as TokenizedSample];
    const row = sharedRows(a, b);
    const isInner = row < numRows(a) && row < numRows(b);
    const difference = isInner ? (a.input_ids[row] as number) - (b.input_ids[row] as number) : numRows(a) - numRows(b);
    return difference || i - j;
  };
  return samples.map((_, i) => i).sort(compare);
}

/** A stretch of tokens that the same samples go through. */
export interface Branch {
  /** Depth of its first row and of the row after its last. */
  begin: number;
  end: number;
  /** Indices of the samples that go through it. */
  samples: number[];
  children: Branch[];
}

/** The whole prefix tree as its first branch, which is empty where samples share no beginning. */
export function prefixTree(samples: readonly TokenizedSample[]): Branch {
  const grow = (order: readonly number[], begin: number): Branch => {
    const leaf = (k: number) => samples[order[k] as number] as TokenizedSample;
    const shared = order.map((_, k) => (k === 0 ? 0 : sharedRows(leaf(k - 1), leaf(k))));
    const end = shared.slice(1).reduce((least, rows) => Math.min(least, rows), numRows(leaf(0)));
    const starts = [0, ...range(1, order.length).filter((k) => shared[k] === end)];
    const isLeaf = starts.length === order.length && order.every((_, k) => numRows(leaf(k)) === end);
    const children = isLeaf ? [] : starts.map((start, i) => grow(order.slice(start, starts[i + 1]), end));
    return { begin, end, samples: [...order], children };
  };
  return grow(depthFirst(samples), 0);
}

/** Leaves of the tree, and the rows they take below the branch at which they were cut off. */
interface Part {
  leaves: number[];
  rows: number;
}

/**
 * Packs of samples, each in depth-first order, whose prefix tree has at most `limit` rows. A tree that is larger is cut
 * between the children of its lowest branches, so that the fewest rows repeat, and the parts are put together again as
 * they fit, nearest relatives first, the largest parts first.
 * @param samples each of at most `limit` rows
 */
export function treePacks(samples: readonly TokenizedSample[], limit: number): number[][] {
  const order = depthFirst(samples);
  const leaf = (k: number) => samples[order[k] as number] as TokenizedSample;
  /** [samples], rows that leaf k shares with the leaf before it. */
  const shared = order.map((_, k) => (k === 0 ? 0 : sharedRows(leaf(k - 1), leaf(k))));
  const rowsOf = (first: number, end: number) => {
    let rows = numRows(leaf(first));
    for (let k = first + 1; k < end; k++) rows += numRows(leaf(k)) - (shared[k] as number);
    return rows;
  };
  const cut = (first: number, end: number, above: number): Part[] => {
    const rows = rowsOf(first, end);
    if (rows <= limit) return [{ leaves: range(first, end), rows: rows - above }];
    const depth = shared.slice(first + 1, end).reduce((least, rows) => Math.min(least, rows));
    const borders = range(first + 1, end).filter((k) => shared[k] === depth);
    const starts = [first, ...borders];
    const children = starts.flatMap((start, i) => cut(start, starts[i + 1] ?? end, depth));
    return joinParts(children, limit - depth).map((part) => ({ ...part, rows: part.rows + depth - above }));
  };
  if (samples.length === 0) return [];
  const packs = cut(0, order.length, 0).map(({ leaves }) => leaves.sort((a, b) => a - b));
  packs.sort(([a = 0], [b = 0]) => a - b);
  return packs.map((leaves) => leaves.map((k) => order[k] as number));
}

/** Best-fit decreasing: each part into the fullest one with room for it. */
function joinParts(parts: readonly Part[], capacity: number): Part[] {
  const joined: Part[] = [];
  for (const { leaves, rows } of parts.toSorted((a, b) => b.rows - a.rows)) {
    let best: Part | null = null;
    for (const other of joined) {
      if (other.rows + rows <= capacity && (best === null || other.rows > best.rows)) best = other;
    }
    if (best === null) joined.push({ leaves: [...leaves], rows });
    else {
      best.leaves.push(...leaves);
      best.rows += rows;
    }
  }
  return joined;
}

function range(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, i) => first + i);
}
