// Autoregressive generation: the prompt fills the cache in chunks, then one token a forward until an end token.
import { UserError } from '../core/errors.ts';
import { createRng } from '../core/rng.ts';
import { matMul, rows } from '../engine/primitives.ts';
import { readFloats, scopeAsync } from '../engine/tensor.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { KvCache } from './kv_cache.ts';
import { nextToken, type SamplingSettings } from './sampling.ts';

/** Prompt tokens a forward: bounds the memory of long prompts. */
const PREFILL_ROWS = 512;

export interface GenerateSettings extends SamplingSettings {
  max_new_tokens: number;
  seed: number;
  /** Tokens that end the answer; they are not part of it. */
  stop_ids: ReadonlySet<number>;
}

/**
 * The tokens of the answer to a prompt, each as soon as it is known; the generator returns why it ended. A pure
 * function of its arguments. Ending the iteration early frees the cache.
 * @throws UserError when prompt and answer do not fit into the positions of the model
 */
export async function* generate(
  model: CausalLM,
  prompt_ids: Int32Array,
  settings: GenerateSettings,
): AsyncGenerator<number, 'stop' | 'length'> {
  checkLength(model, prompt_ids.length, settings.max_new_tokens);
  const rng = createRng(settings.seed, 'generate');
  const cache = new KvCache();
  try {
    let next = prompt_ids;
    for (let made = 0; made < settings.max_new_tokens; made++) {
      const logits = await lastLogits(model, cache, next);
      const id = nextToken(logits, settings, rng);
      if (settings.stop_ids.has(id)) return 'stop';
      yield id;
      next = Int32Array.of(id);
    }
    return 'length';
  } finally {
    cache.clear();
  }
}

function checkLength(model: CausalLM, prompt: number, max_new_tokens: number): void {
  const limit = model.max_position_embeddings;
  if (prompt === 0) throw new UserError('prompt: expected at least one token, got none; ask a question.');
  if (prompt + max_new_tokens <= limit) return;
  const advice = prompt < limit ? `ask for at most ${limit - prompt} new tokens` : 'shorten the question';
  throw new UserError(
    `prompt: expected at most the model's ${limit} tokens with the answer, got ${prompt} and ${max_new_tokens} new ones; ${advice}.`,
  );
}

/** Appends tokens to the cache; the logits [V] of what follows the last one. */
async function lastLogits(model: CausalLM, cache: KvCache, ids: Int32Array): Promise<Float32Array> {
  for (let begin = 0; ; begin += PREFILL_ROWS) {
    const chunk = ids.subarray(begin, begin + PREFILL_ROWS);
    const isLast = begin + PREFILL_ROWS >= ids.length;
    const logits = await scopeAsync(async () => {
      const hidden = await forward(model, cache, chunk);
      if (!isLast) return null;
      return readFloats(matMul(rows(hidden, chunk.length - 1, 1), model.headWeight, { transposeB: true }));
    });
    if (logits !== null) return logits;
  }
}

function forward(model: CausalLM, cache: KvCache, input_ids: Int32Array) {
  const query_start = cache.length;
  const size = query_start + input_ids.length;
  const pack = {
    input_ids,
    position_ids: Int32Array.from(input_ids, (_, i) => query_start + i),
    subtree_end: new Int32Array(size).fill(size),
  };
  return model.forward(pack, { recompute: 'none', dropoutSeed: null, cache: { query_start, extend: cache.extend } });
}
