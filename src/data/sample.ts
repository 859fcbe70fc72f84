// The types that cross the borders of this room, from a row of the source to the rows of a micro-batch.

export type Language = 'eng' | 'zh';

/** `role_specific`: a role-specific row that does not say which of the two it is (the baseline files). */
export type SampleKind = 'general' | 'role_specific' | 'script_based' | 'script_agnostic';

/** One row of RoleBench. */
export interface RoleSample extends RowPlace {
  role: string;
  question: string;
  /** At least one; an entry may be empty (such answers are dropped and counted later). */
  answers: string[];
  language: Language;
  split: string;
  /** One for each answer. */
  kinds: SampleKind[];
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
  /** False for an answer that is context only. */
  train?: boolean;
}

/** Whether a message is learnt: an answer with words in it that is not context only. */
export function isTarget({ role, content, train }: ChatMessage): boolean {
  return role === 'assistant' && train !== false && content.trim() !== '';
}

/** Where a row stands. */
export interface RowPlace {
  file: string;
  /** Line in its file, or number in its list, from 1. */
  row: number;
  /** For an element of a list, the line on which it begins. */
  line?: number;
}

/** What the tokeniser gets: one question with one answer, or one chat row. Every assistant turn is a target. */
export interface Conversation extends RowPlace {
  /** Name of the role; for chat rows their `role` field, or else the system message. */
  role: string;
  question: string;
  messages: ChatMessage[];
  answer_index: number;
}

/** A stretch of a prompt: text from the template or the data, or one special token by name. */
export type Segment = { text: string; is_target: boolean } | { token: string; is_target: boolean };

export interface TokenizedSample {
  /** [T] */
  input_ids: Int32Array;
  /** [T], 1 where the token is learnt. */
  is_target: Uint8Array;
  role: string;
  /** The same for all answers to one question of one role. */
  question_id: number;
  answer_index: number;
  question: string;
  /** Line in the source file, from 1. */
  row: number;
  /** Of each of its targets in the training loss; 1 when left out. */
  weight?: number;
}

export const DROP_REASONS = [
  'too_long',
  'prompt_too_long',
  'empty_answer',
  'empty_question',
  'nothing_to_learn',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

/**
 * Why a row is refused: it is not what it should be, holds what is no text, its template does not take it, or its ids
 * cannot be proven.
 */
export const REFUSAL_REASONS = ['bad_row', 'bad_text', 'template', 'unproven'] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** What may happen to the answers of a sample that is kept: not learnt by its row, not learnt for being blank, rewritten. */
export const ANSWER_NOTES = ['masked', 'blank', 'rewritten'] as const;
export type AnswerNote = (typeof ANSWER_NOTES)[number];

/** The first row to which something happened. */
export interface Example extends RowPlace {
  kind: DropReason | RefusalReason | AnswerNote | 'truncated';
  /** The sample that was made of it, or null. */
  sample: number | null;
  /** What is wrong with it. */
  problem: string | null;
}

/** The summary of one split after tokenisation. */
export interface SplitStats {
  roles: number;
  questions: number;
  samples: number;
  tokens: number;
  targets: number;
  dropped: Record<DropReason, number>;
  refused: Record<RefusalReason, number>;
  truncated: number;
  /** Answers, by what happened to them. */
  answers: Record<AnswerNote, number>;
  /** One for each thing that happened. */
  examples: Example[];
}

/** One micro-batch: N tokens in depth-first order and E loss edges. */
export interface TreeBatch {
  /** [N] */
  input_ids: Int32Array;
  /** [N], depth of the token. */
  position_ids: Int32Array;
  /** [N], index after the last token that hangs below this one. */
  subtree_end: Int32Array;
  /** [E], the row that predicts. */
  edge_rows: Int32Array;
  /** [E], the token id to predict. */
  edge_targets: Int32Array;
  /** [E], weight of the sample. */
  edge_weights: Float32Array;
  /** [E], index of the sample in the list that was packed. */
  edge_samples: Int32Array;
  /** Samples in this micro-batch. */
  num_samples: number;
}
