// Losses of many samples by a model, in their order: packs of neighbours, one forward each, nothing kept between packs.
import { UserError } from '../core/errors.ts';
import { packStep } from '../data/pack.ts';
import type { TokenizedSample } from '../data/sample.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { type SampleLoss, sampleLosses } from '../models/sample_losses.ts';

export interface ScoreOptions {
  /** Most rows of one forward; changes no loss beyond rounding. */
  max_tokens_per_pack: number;
  /** Share done of the pack in work, in [0, 1]. */
  onPackProgress?: (share: number) => void;
}

export interface ScoredSample extends SampleLoss {
  sample: TokenizedSample;
}

/**
 * The loss of each sample, in the order given.
 * @throws UserError when a sample fits neither into a pack nor into the positions of the model
 */
export async function* scoreSamples(
  model: CausalLM,
  samples: Iterable<TokenizedSample>,
  { max_tokens_per_pack, onPackProgress }: ScoreOptions,
): AsyncGenerator<ScoredSample> {
  for (const neighbours of inPacks(samples, max_tokens_per_pack)) {
    checkPositions(model, neighbours);
    const losses = new Map<number, SampleLoss>();
    for (const pack of packStep(neighbours, { strategy: 'sequence', max_tokens_per_pack })) {
      for (const [index, loss] of await sampleLosses(model, pack, onPackProgress)) losses.set(index, loss);
    }
    for (const [i, sample] of neighbours.entries()) {
      yield { sample, ...(losses.get(i) ?? { loss_sum: 0, num_targets: 0 }) };
    }
  }
}

/** Neighbouring samples whose rows fit into one pack. */
function* inPacks(samples: Iterable<TokenizedSample>, limit: number): Generator<TokenizedSample[]> {
  let neighbours: TokenizedSample[] = [];
  let rows = 0;
  for (const sample of samples) {
    const size = sample.input_ids.length - 1;
    if (neighbours.length > 0 && rows + size > limit) {
      yield neighbours;
      neighbours = [];
      rows = 0;
    }
    neighbours.push(sample);
    rows += size;
  }
  if (neighbours.length > 0) yield neighbours;
}

function checkPositions(model: CausalLM, samples: readonly TokenizedSample[]): void {
  const limit = model.max_position_embeddings;
  const long = samples.find(({ input_ids }) => input_ids.length - 1 > limit);
  if (long === undefined) return;
  throw new UserError(
    `data: expected samples of at most the model's ${limit} tokens, got ${long.input_ids.length - 1} (role ${long.role}, row ${long.row}); lower data.max_seq_length.`,
  );
}
