// Samples to micro-batches. A sample of T tokens has the rows 0 … T-2 and one loss edge for each target: the row in
// front of it. Samples of one pack lie end to end and none sees another.
import { UserError } from '../core/errors.ts';
import type { TokenizedSample, TreeBatch } from './sample.ts';
import { countTargets } from './tokenize.ts';

export interface PackSettings {
  /** sequence: as many samples as fit; none: one sample a micro-batch. */
  strategy: 'sequence' | 'none';
  /** Most rows of a micro-batch. */
  max_tokens_per_pack: number;
}

/**
 * The micro-batches of one step (or of any list of samples). First-fit decreasing: the longest samples first, each into
 * the first pack with room; inside a pack the order of the list. `edge_samples` are indices into `samples`.
 * @throws UserError when a sample does not fit into a pack
 */
export function packStep(samples: readonly TokenizedSample[], settings: PackSettings): TreeBatch[] {
  checkLengths(samples, settings);
  const packs = settings.strategy === 'none' ? samples.map((_, i) => [i]) : firstFit(samples, settings);
  return packs.map((pack) => buildBatch(samples, pack));
}

function numRows({ input_ids }: TokenizedSample): number {
  return input_ids.length - 1;
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

function buildBatch(samples: readonly TokenizedSample[], pack: readonly number[]): TreeBatch {
  const members = pack.map((i) => samples[i] as TokenizedSample);
  const rows = members.reduce((sum, sample) => sum + numRows(sample), 0);
  const edges = members.reduce((sum, { is_target }) => sum + countTargets(is_target), 0);
  const batch: TreeBatch = {
    input_ids: new Int32Array(rows),
    position_ids: new Int32Array(rows),
    subtree_end: new Int32Array(rows),
    edge_rows: new Int32Array(edges),
    edge_targets: new Int32Array(edges),
    edge_weights: new Float32Array(edges).fill(1),
    edge_samples: new Int32Array(edges),
    num_samples: pack.length,
  };
  let row = 0;
  let edge = 0;
  members.forEach((sample, m) => {
    const length = numRows(sample);
    batch.input_ids.set(sample.input_ids.subarray(0, length), row);
    batch.subtree_end.fill(row + length, row, row + length);
    for (let t = 0; t < length; t++) {
      batch.position_ids[row + t] = t;
      if (sample.is_target[t + 1] === 0) continue;
      batch.edge_rows[edge] = row + t;
      batch.edge_targets[edge] = sample.input_ids[t + 1] as number;
      batch.edge_samples[edge] = pack[m] as number;
      edge += 1;
    }
    row += length;
  });
  return batch;
}
