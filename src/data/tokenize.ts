// Conversations to token ids and target flags, and what happens to those that are too long or have nothing to learn.
// Pure: the same in the main thread and in the workers.
import type { PromptEncoder } from './prompt.ts';
import type { Conversation, DropReason } from './sample.ts';

export type Overflow = 'drop' | 'truncate_answer' | 'error';

export interface TokenizeLimits {
  /** Longest sample in tokens, prompt and answer together. */
  max_seq_length: number;
  overflow: Overflow;
}

/** The tokens of a batch of conversations, end to end; those that were dropped have none. */
export interface TokenizedBatch {
  /** Tokens of all conversations, one behind the other. */
  input_ids: Int32Array;
  is_target: Uint8Array;
  /** [B], tokens of each conversation; 0 when it was dropped. */
  lengths: Int32Array;
  dropped: (DropReason | null)[];
  /** [B], 1 where the sample was cut. */
  is_truncated: Uint8Array;
  /** With overflow `error`, the first sample that is too long. */
  too_long: { file: string; row: number; tokens: number } | null;
}

export function tokenizeBatch(
  encoder: PromptEncoder,
  conversations: readonly Conversation[],
  limits: TokenizeLimits,
): TokenizedBatch {
  const ids: number[] = [];
  const flags: number[] = [];
  const lengths = new Int32Array(conversations.length);
  const dropped: (DropReason | null)[] = [];
  const is_truncated = new Uint8Array(conversations.length);
  let tooLong: TokenizedBatch['too_long'] = null;
  conversations.forEach((conversation, i) => {
    const outcome = tokenizeOne(encoder, conversation, limits);
    dropped.push(outcome.dropped);
    if (outcome.dropped === 'too_long') {
      const { file, row } = conversation;
      tooLong ??= { file, row, tokens: outcome.tokens };
    }
    if (outcome.dropped !== null) return;
    lengths[i] = outcome.input_ids.length;
    if (outcome.isTruncated) is_truncated[i] = 1;
    for (let t = 0; t < outcome.input_ids.length; t++) {
      ids.push(outcome.input_ids[t] as number);
      flags.push(outcome.is_target[t] as number);
    }
  });
  return {
    input_ids: Int32Array.from(ids),
    is_target: Uint8Array.from(flags),
    lengths,
    dropped,
    is_truncated,
    too_long: limits.overflow === 'error' ? tooLong : null,
  };
}

/** Number of loss edges: targets that have a token before them. */
export function countTargets(isTarget: ArrayLike<number>): number {
  let targets = 0;
  for (let t = 1; t < isTarget.length; t++) targets += isTarget[t] as number;
  return targets;
}

type Outcome =
  | { dropped: null; input_ids: number[]; is_target: number[]; isTruncated: boolean }
  | { dropped: DropReason; tokens: number };

function tokenizeOne(encoder: PromptEncoder, conversation: Conversation, limits: TokenizeLimits): Outcome {
  const { messages } = conversation;
  const isBlank = (role: string) => messages.every((message) => message.role !== role || message.content.trim() === '');
  if (isBlank('user')) return { dropped: 'empty_question', tokens: 0 };
  if (isBlank('assistant')) return { dropped: 'empty_answer', tokens: 0 };
  const { input_ids, is_target } = encoder.encode(messages);
  const tokens = input_ids.length;
  if (countTargets(is_target) === 0) return { dropped: 'empty_answer', tokens };
  if (tokens <= limits.max_seq_length) return { dropped: null, input_ids, is_target, isTruncated: false };
  if (limits.overflow !== 'truncate_answer') return { dropped: 'too_long', tokens };
  input_ids.length = limits.max_seq_length;
  is_target.length = limits.max_seq_length;
  if (countTargets(is_target) === 0) return { dropped: 'prompt_too_long', tokens };
  return { dropped: null, input_ids, is_target, isTruncated: true };
}
