// From logits to the next token: greedy, temperature, top-p (nucleus sampling, Holtzman et al., arXiv 1904.09751).
// Pure functions on host arrays; probabilities are float64.
import { UserError } from '../core/errors.ts';
import type { Rng } from '../core/rng.ts';

export interface SamplingSettings {
  /** 0 takes the likeliest token. */
  temperature: number;
  /** Share of the probability that is kept, in (0, 1]; 1 keeps all tokens. */
  top_p: number;
}

/** Tokens that may be drawn, with probabilities that sum to 1. */
export interface Nucleus {
  ids: number[];
  probabilities: number[];
}

/** The next token for logits [V]. */
export function nextToken(logits: Float32Array, settings: SamplingSettings, rng: Rng): number {
  if (settings.temperature === 0) return argmax(logits);
  return draw(nucleus(logits, settings), rng.next());
}

/** Index of the largest value, the first of equals. */
export function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 0; i < logits.length; i++) {
    const value = logits[i] as number;
    if (!Number.isFinite(value)) {
      throw new UserError(
        `model: expected finite logits, got ${value} for token ${i}; the base or the adapter is damaged, or it needs model.dtype=float32.`,
      );
    }
    if (value > (logits[best] as number)) best = i;
  }
  return best;
}

/**
 * The smallest set of the likeliest tokens whose probability reaches `top_p`, likeliest first and the smaller id first
 * among equals; for a `top_p` of 1 all tokens in the order of their ids.
 */
export function nucleus(logits: Float32Array, { temperature, top_p }: SamplingSettings): Nucleus {
  const probabilities = softmax(logits, temperature);
  // Tokens below the floor weigh less than 1 - top_p together, so none of them is needed; few are left to sort.
  const floor = (1 - top_p) / logits.length;
  const candidates: number[] = [];
  for (let i = 0; i < probabilities.length; i++) {
    const p = probabilities[i] as number;
    if (p > 0 && p >= floor) candidates.push(i);
  }
  // Sorting a whole vocabulary would take as long as a small model's forward.
  if (top_p < 1) candidates.sort((a, b) => (probabilities[b] as number) - (probabilities[a] as number) || a - b);
  const ids: number[] = [];
  let mass = 0;
  for (const id of candidates) {
    if (top_p < 1 && mass >= top_p) break;
    ids.push(id);
    mass += probabilities[id] as number;
  }
  return { ids, probabilities: ids.map((id) => (probabilities[id] as number) / mass) };
}

/** The token at `u` in [0, 1) of the cumulative distribution. */
export function draw({ ids, probabilities }: Nucleus, u: number): number {
  let cumulative = 0;
  for (const [i, id] of ids.entries()) {
    cumulative += probabilities[i] as number;
    if (u < cumulative) return id;
  }
  return ids.at(-1) as number;
}

// Plain loops: `from`, `map` and `reduce` take several times as long on a vocabulary.
function softmax(logits: Float32Array, temperature: number): Float64Array {
  const top = logits[argmax(logits)] as number;
  const values = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    const value = Math.exp(((logits[i] as number) - top) / temperature);
    values[i] = value;
    total += value;
  }
  for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) / total;
  return values;
}
