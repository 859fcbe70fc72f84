// Samples to micro-batches. A sample of T tokens has the rows 0 … T-2 and one loss edge for each target: the row in
// front of it. Samples that begin with the same tokens share those rows (strategy tree) or lie end to end, none seeing
// another. Each (sample, target) keeps an edge of its own, also on a shared row: so every sample has its own loss.
import { UserError } from '../core/errors.ts';
import { numRows, sharedRows, treePacks } from './prefix_tree.ts';
import type { TokenizedSample, TreeBatch } from './sample.ts';
import { countTargets } from './tokenize.ts';

export interface PackSettings {
  /** tree: each shared prefix once a micro-batch; sequence: as many samples as fit; none: one sample a micro-batch. */
  strategy: 'tree' | 'sequence' | 'none';
  /** Most rows of a micro-batch. */
  max_tokens_per_pack: number;
}

/**
 * The micro-batches of one step (or of any list of samples): the same loss and gradients for every strategy. Sequences
 * go first-fit decreasing: the longest samples first, each into the first pack with room; inside a pack the order of
 * the list. Trees: see prefix_tree.ts. `edge_samples` are indices into `samples`.
 * @throws UserError when a sample does not fit into a pack
 */
export function packStep(samples: readonly TokenizedSample[], settings: PackSettings): TreeBatch[] {
  checkLengths(samples, settings);
  const isShared = settings.strategy === 'tree';
  return packsOf(samples, settings).map((pack) => buildBatch(samples, pack, isShared));
}

function packsOf(samples: readonly TokenizedSample[], settings: PackSettings): number[][] {
  switch (settings.strategy) {
    case 'tree':
      return treePacks(samples, settings.max_tokens_per_pack);
    case 'sequence':
      return firstFit(samples, settings);
    case 'none':
      return samples.map((_, i) => [i]);
    default:
      return settings.strategy satisfies never;
  }
}

function checkLengths(samples: readonly TokenizedSample[], { max_tokens_per_pack: limit }: PackSettings): void {
  const long = samples.find((sample) => numRows(sample) > limit);
  if (long === undefined) return;
  throw new UserError(
    `packing.max_tokens_per_pack: expected room for every sample, got ${limit} and a sample of ${numRows(long)} tokens ` +
      `(role ${long.role}, row ${long.row}); raise packing.max_tokens_per_pack or lower data.max_seq_length.`,
  );
}

function firstFit(samples: readonly TokenizedSample[], { max_tokens_per_pack: limit }: PackSettings): number[][] {
  const rows = samples.map(numRows);
  const order = rows.map((_, i) => i).sort((a, b) => (rows[b] as number) - (rows[a] as number) || a - b);
  const packs: { used: number; samples: number[] }[] = [];
  for (const i of order) {
    const size = rows[i] as number;
    let pack = packs.find(({ used }) => used + size <= limit);
    if (pack === undefined) {
      pack = { used: 0, samples: [] };
      packs.push(pack);
    }
    pack.used += size;
    pack.samples.push(i);
  }
  return packs.map((pack) => pack.samples.sort((a, b) => a - b));
}

/** @param isShared whether rows are shared with the member before, as depth-first order allows */
function buildBatch(samples: readonly TokenizedSample[], pack: readonly number[], isShared: boolean): TreeBatch {
  const members = pack.map((i) => samples[i] as TokenizedSample);
  const shared = members.map((sample, m) =>
    isShared && m > 0 ? sharedRows(members[m - 1] as TokenizedSample, sample) : 0,
  );
  const rows = members.reduce((sum, sample, m) => sum + numRows(sample) - (shared[m] as number), 0);
  const edges = members.reduce((sum, { is_target }) => sum + countTargets(is_target), 0);
  const batch: TreeBatch = {
    input_ids: new Int32Array(rows),
    position_ids: new Int32Array(rows),
    subtree_end: new Int32Array(rows),
    edge_rows: new Int32Array(edges),
    edge_targets: new Int32Array(edges),
    edge_weights: new Float32Array(edges),
    edge_samples: new Int32Array(edges),
    num_samples: pack.length,
  };
  /** The row of each depth, from the root to the last leaf. */
  const path: number[] = [];
  let row = 0;
  let edge = 0;
  const close = (depth: number) => {
    for (const open of path.splice(depth)) batch.subtree_end[open] = row;
  };
  members.forEach((sample, m) => {
    close(shared[m] as number);
    for (let t = path.length; t < numRows(sample); t++) {
      batch.input_ids[row] = sample.input_ids[t] as number;
      batch.position_ids[row] = t;
      path.push(row);
      row += 1;
    }
    for (let t = 0; t < path.length; t++) {
      if (sample.is_target[t + 1] === 0) continue;
      batch.edge_rows[edge] = path[t] as number;
      batch.edge_targets[edge] = sample.input_ids[t + 1] as number;
      batch.edge_weights[edge] = sample.weight ?? 1;
      batch.edge_samples[edge] = pack[m] as number;
      edge += 1;
    }
  });
  close(0);
  return batch;
}
