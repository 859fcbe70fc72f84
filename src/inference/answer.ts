// One answer as text, handed out while it grows.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile } from '../core/files.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { type GenerateSettings, generate } from './generate.ts';
import { type Decoder, TextStream } from './text_stream.ts';

export interface AnswerEvents {
  /** A piece of text that is final; pieces add up to the answer. */
  onText: (piece: string) => void;
  /** Called once a token, also where it brings no text yet. */
  onToken?: () => void;
}

/** Generates the answer to a prompt. Returns why it ended: an end token, or `max_new_tokens`. */
export async function answerPrompt(
  model: CausalLM,
  decoder: Decoder,
  prompt_ids: Int32Array,
  settings: GenerateSettings & AnswerEvents,
): Promise<'stop' | 'length'> {
  const { onText, onToken } = settings;
  const text = new TextStream(decoder);
  const tokens = generate(model, prompt_ids, settings);
  for (let step = await tokens.next(); ; step = await tokens.next()) {
    const piece = step.done ? text.finish() : text.push(step.value);
    if (piece !== '') onText(piece);
    if (step.done) return step.value;
    onToken?.();
  }
}

/**
 * The tokens that end an answer: the tokenizer's end token and those that generation_config.json or config.json of the
 * base name (LLaMA 3 has three).
 */
export function stopIds(folder: string, eosId: number): Set<number> {
  const ids = new Set([eosId]);
  for (const name of ['generation_config.json', 'config.json']) {
    const path = join(folder, name);
    if (!existsSync(path)) continue;
    const config = readJsonFile(path, 'settings of a model');
    const value: unknown =
      typeof config === 'object' && config !== null && 'eos_token_id' in config ? config.eos_token_id : null;
    for (const id of Array.isArray(value) ? value : [value]) if (typeof id === 'number') ids.add(id);
  }
  return ids;
}
