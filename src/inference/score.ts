// Losses of many samples by a model, in their order: neighbours are packed together, one forward a pack, and only the
// losses that wait for an earlier sample's are kept.
import { UserError } from '../core/errors.ts';
import { type PackSettings, packStep } from '../data/pack.ts';
import type { TokenizedSample, TreeBatch } from '../data/sample.ts';
import { countTargets } from '../data/tokenize.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { inWindows, type SampleLoss, sampleLosses } from '../models/sample_losses.ts';

export interface ScoreOptions {
  /** Most rows of one forward; changes no loss beyond rounding. */
  max_tokens_per_pack: number;
  /** tree when left out; changes no loss beyond rounding. */
  strategy?: PackSettings['strategy'];
  /** Told after each forward: the tokens it computed. */
  onPack?: (tokens: number) => void;
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
  { max_tokens_per_pack, strategy = 'tree', onPack }: ScoreOptions,
): AsyncGenerator<ScoredSample> {
  for (const neighbours of inWindows(samples)) {
    checkPositions(model, neighbours);
    const losses = new Map<number, SampleLoss>(neighbours.flatMap(isWithoutTargets));
    let next = 0;
    for (const pack of inFileOrder(packStep(neighbours, { strategy, max_tokens_per_pack }))) {
      for (const [index, loss] of await sampleLosses(model, pack)) losses.set(index, loss);
      onPack?.(pack.input_ids.length);
      for (; losses.has(next); next++) {
        yield { sample: neighbours[next] as TokenizedSample, ...(losses.get(next) as SampleLoss) };
      }
    }
  }
}

function isWithoutTargets({ is_target }: TokenizedSample, i: number): [number, SampleLoss][] {
  return countTargets(is_target) === 0 ? [[i, { loss_sum: 0, num_targets: 0 }]] : [];
}

/** Packs with early samples first, so that losses can be told early. */
function inFileOrder(packs: TreeBatch[]): TreeBatch[] {
  const first = ({ edge_samples }: TreeBatch) =>
    edge_samples.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  return packs.toSorted((a, b) => first(a) - first(b));
}

function checkPositions(model: CausalLM, samples: readonly TokenizedSample[]): void {
  const limit = model.max_position_embeddings;
  const long = samples.find(({ input_ids }) => input_ids.length - 1 > limit);
  if (long === undefined) return;
  throw new UserError(
    `data: expected samples of at most the model's ${limit} tokens, got ${long.input_ids.length - 1} (role ${long.role}, row ${long.row}); lower data.max_seq_length.`,
  );
}
