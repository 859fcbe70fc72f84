// Conversations to token ids and target flags, and what happens to those that are too long, have nothing to learn or
// cannot be right.

import type { EncodedConversation, PromptEncoder } from './prompt.ts';
import { BadRow } from './refusals.ts';
import { type AnswerNote, type ChatMessage, type Conversation, type DropReason, isTarget } from './sample.ts';

export type Overflow = 'drop' | 'truncate_answer' | 'error';

export interface TokenizeLimits {
  /** Longest sample in tokens, prompt and answer together. */
  max_seq_length: number;
  overflow: Overflow;
}

/** A conversation as a sample, or why it is none. */
export type Outcome =
  | (EncodedConversation & { kind: 'sample'; isTruncated: boolean; notes: Record<AnswerNote, number> })
  | { kind: 'dropped'; reason: DropReason; tokens: number }
  | { kind: 'refused'; fault: BadRow };

/** The outcomes of conversations, in their order. */
export async function tokenizeBatch(
  encoder: PromptEncoder,
  conversations: readonly Conversation[],
  limits: TokenizeLimits,
): Promise<Outcome[]> {
  const empty = conversations.map(({ messages }) => emptiness(messages));
  const full = conversations.filter((_, i) => empty[i] === null);
  const encoded = await encoder.encode(full.map(({ messages }) => messages));
  let next = 0;
  return conversations.map(({ messages }, i): Outcome => {
    const reason = empty[i] ?? null;
    if (reason !== null) return { kind: 'dropped', reason, tokens: 0 };
    const one = encoded[next++] as EncodedConversation | BadRow;
    return one instanceof BadRow ? { kind: 'refused', fault: one } : limited(one, messages, limits);
  });
}

function emptiness(messages: readonly ChatMessage[]): DropReason | null {
  const isBlank = (role: string) => messages.every((message) => message.role !== role || message.content.trim() === '');
  if (isBlank('user') && messages.some(({ role }) => role === 'user')) return 'empty_question';
  if (isBlank('assistant')) return 'empty_answer';
  return messages.some(isTarget) ? null : 'nothing_to_learn';
}

function limited(encoded: EncodedConversation, messages: readonly ChatMessage[], limits: TokenizeLimits): Outcome {
  const { input_ids, is_target, rewritten } = encoded;
  const answers = messages.filter(({ role }) => role === 'assistant');
  const masked = answers.filter(({ train }) => train === false).length;
  const notes = {
    masked,
    blank: answers.filter((answer) => answer.train !== false && !isTarget(answer)).length,
    rewritten,
  };
  const tokens = input_ids.length;
  if (countTargets(is_target) === 0) return { kind: 'dropped', reason: 'nothing_to_learn', tokens };
  if (tokens <= limits.max_seq_length) return { ...encoded, kind: 'sample', notes, isTruncated: false };
  if (limits.overflow !== 'truncate_answer') return { kind: 'dropped', reason: 'too_long', tokens };
  const cut = {
    input_ids: input_ids.subarray(0, limits.max_seq_length),
    is_target: is_target.subarray(0, limits.max_seq_length),
  };
  if (countTargets(cut.is_target) === 0) return { kind: 'dropped', reason: 'prompt_too_long', tokens };
  return { ...encoded, ...cut, kind: 'sample', notes, isTruncated: true };
}

const BATCH = 64;
/** Batches that the tokenizer works on while the next ones are read and rendered. */
const IN_FLIGHT = 8;

/** Tokenises a stream, batch by batch, in its order and with memory that does not grow with it. */
export async function* tokenizeAll(
  stream: AsyncIterable<Conversation>,
  encoder: PromptEncoder,
  limits: TokenizeLimits,
): AsyncGenerator<{ conversations: readonly Conversation[]; outcomes: Outcome[] }> {
  const pending: { conversations: Conversation[]; outcomes: Promise<Outcome[]> }[] = [];
  const start = (conversations: Conversation[]) => {
    const outcomes = tokenizeBatch(encoder, conversations, limits);
    // An error is raised where the result is awaited, in order.
    outcomes.catch(() => undefined);
    pending.push({ conversations, outcomes });
  };
  const take = async () => {
    const { conversations, outcomes } = pending.shift() as (typeof pending)[number];
    return { conversations, outcomes: await outcomes };
  };
  let batch: Conversation[] = [];
  for await (const conversation of stream) {
    batch.push(conversation);
    if (batch.length < BATCH) continue;
    start(batch);
    batch = [];
    if (pending.length >= IN_FLIGHT) yield await take();
  }
  if (batch.length > 0) start(batch);
  while (pending.length > 0) yield await take();
}

/** Number of loss edges: targets that have a token before them. */
export function countTargets(isTarget: ArrayLike<number>): number {
  let targets = 0;
  for (let t = 1; t < isTarget.length; t++) targets += isTarget[t] as number;
  return targets;
}
