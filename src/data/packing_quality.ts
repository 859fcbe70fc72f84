// How well samples pack: what sharing saves, and how full the packs are.
import { type PackSettings, packStep } from './pack.ts';
import { numRows } from './prefix_tree.ts';
import type { TokenizedSample, TreeBatch } from './sample.ts';

export interface PackingQuality {
  steps: number;
  samples: number;
  /** Tokens to compute were nothing shared. */
  equivalent_tokens: number;
  /** Tokens to compute. */
  tokens: number;
  targets: number;
  packs: number;
  /** Tokens of the largest pack. */
  largest: number;
  /** Share of `max_tokens_per_pack` that the packs fill. */
  fill: number;
}

/** Packs each step's samples and counts; nothing of a step is kept. */
export function packingQuality(steps: Iterable<readonly TokenizedSample[]>, settings: PackSettings): PackingQuality {
  const counts = { steps: 0, samples: 0, equivalent_tokens: 0, tokens: 0, targets: 0, packs: 0, largest: 0 };
  const addPack = ({ input_ids, edge_rows }: TreeBatch) => {
    counts.packs += 1;
    counts.tokens += input_ids.length;
    counts.targets += edge_rows.length;
    counts.largest = Math.max(counts.largest, input_ids.length);
  };
  for (const samples of steps) {
    counts.steps += 1;
    counts.samples += samples.length;
    for (const sample of samples) counts.equivalent_tokens += numRows(sample);
    packStep(samples, settings).forEach(addPack);
  }
  return { ...counts, fill: counts.tokens / (counts.packs * settings.max_tokens_per_pack) };
}
