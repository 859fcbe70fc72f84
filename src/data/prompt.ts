// From a conversation to segments, and from segments to ids: the one way in which training, scoring and generation
// build a prompt. Text between two special tokens is tokenised in one piece; an answer starts a new piece.
import { UserError } from '../core/errors.ts';
import { chatSkeleton, type SkeletonPiece } from './chat_template.ts';
import type { ChatMessage, Segment } from './sample.ts';
import type { Markup, MarkupPiece, PromptTemplate } from './templates.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface PromptEncoder {
  /** Segments of a conversation; every assistant turn is a target. */
  segments(messages: readonly ChatMessage[]): Segment[];
  /** Ids and target flags of a conversation. */
  encode(messages: readonly ChatMessage[]): { input_ids: number[]; is_target: number[] };
  /** Ids up to where the next answer begins. */
  encodePrompt(messages: readonly ChatMessage[]): number[];
}

const MAX_PIECES = 1024;

/**
 * @throws UserError when a special token of the template is not in the tokenizer
 */
export function createPromptEncoder(tokenizer: Tokenizer, template: PromptTemplate): PromptEncoder {
  const { markup, chat_template: source } = template;
  if (markup !== null) checkTokens(tokenizer, markup);
  const skeletons = new Map<string, SkeletonPiece[]>();
  const known = new Map<string, readonly number[]>();

  function segments(messages: readonly ChatMessage[], isGeneration: boolean): Segment[] {
    if (markup !== null) return markupSegments(markup, tokenizer.eosToken, messages, isGeneration);
    const key = `${messages.map(({ role }) => role).join()} ${isGeneration}`;
    const roles = messages.map(({ role }) => role);
    const skeleton = skeletons.get(key) ?? chatSkeleton(tokenizer, source ?? '', roles, isGeneration);
    skeletons.set(key, skeleton);
    return skeleton.map((piece) => {
      if (!('message' in piece)) return piece;
      return { text: messages[piece.message]?.content ?? '', is_target: piece.is_target };
    });
  }

  function encodeText(text: string, isTarget: boolean, isFirst: boolean): readonly number[] {
    if (isTarget) return tokenizer.encode(text, { isFirst, dummyBlank: markup?.answer_dummy_blank ?? false });
    // Prompts repeat: the instruction for every question of a role, the question for every answer.
    const key = `${isFirst ? 1 : 0}${text}`;
    const ids = known.get(key) ?? tokenizer.encode(text, { isFirst });
    if (known.size >= MAX_PIECES) known.clear();
    known.set(key, ids);
    return ids;
  }

  function encodeSegments(list: readonly Segment[]) {
    const input_ids: number[] = markup?.tokenizer_prefix ? [...tokenizer.prefixIds] : [];
    const is_target = input_ids.map(() => 0);
    let isFirst = true;
    for (const segment of joinText(list)) {
      const isToken = 'token' in segment;
      const ids = isToken
        ? [requireToken(tokenizer, segment.token)]
        : encodeText(segment.text, segment.is_target, isFirst);
      for (let i = 0; i < ids.length; i++) {
        input_ids.push(ids[i] as number);
        is_target.push(segment.is_target ? 1 : 0);
      }
      isFirst = false;
    }
    return { input_ids, is_target };
  }

  return {
    segments: (messages) => segments(messages, false),
    encode: (messages) => encodeSegments(segments(messages, false)),
    encodePrompt: (messages) => encodeSegments(segments(messages, true)).input_ids,
  };
}

function markupSegments(
  markup: Markup,
  endToken: string,
  messages: readonly ChatMessage[],
  isGeneration: boolean,
): Segment[] {
  const out: Segment[] = [];
  let round = 0;
  const add = (pieces: readonly MarkupPiece[], content: string, is_target: boolean) => {
    for (const piece of pieces) out.push(fill(piece, { content, round, endToken, is_target }));
  };
  add(markup.start, '', false);
  messages.forEach(({ role, content }, i) => {
    if (role === 'system') add(markup.system, content, false);
    if (role === 'user') {
      round += 1;
      add(markup.user, content, false);
    }
    if (role === 'assistant') {
      add(markup.assistant_start, '', false);
      add(markup.assistant, content, true);
      if (isGeneration || i < messages.length - 1) add(markup.between_rounds, '', false);
    }
  });
  if (isGeneration) add(markup.assistant_start, '', false);
  else out.length = out.findLastIndex(({ is_target }) => is_target) + 1;
  return out;
}

function fill(
  piece: MarkupPiece,
  { content, round, endToken, is_target }: { content: string; round: number; endToken: string; is_target: boolean },
): Segment {
  if ('text' in piece) return { text: piece.text, is_target };
  if ('token' in piece) return { token: piece.token, is_target };
  if ('special' in piece) return { token: endToken, is_target };
  return { text: piece.slot === 'content' ? content : String(round), is_target };
}

/** Neighbouring texts of one kind become one text; empty ones vanish. */
function joinText(segments: readonly Segment[]): Segment[] {
  const out: Segment[] = [];
  for (const segment of segments) {
    const last = out.at(-1);
    if ('token' in segment) out.push(segment);
    else if (segment.text === '') continue;
    else if (last !== undefined && 'text' in last && last.is_target === segment.is_target) {
      out[out.length - 1] = { text: last.text + segment.text, is_target: last.is_target };
    } else out.push(segment);
  }
  return out;
}

function checkTokens(tokenizer: Tokenizer, markup: Markup): void {
  const lists = [markup.start, markup.system, markup.user, markup.assistant_start, markup.assistant];
  for (const piece of lists.flat()) if ('token' in piece) requireToken(tokenizer, piece.token);
}

function requireToken(tokenizer: Tokenizer, token: string): number {
  const id = tokenizer.tokenToId(token);
  if (id !== null) return id;
  throw new UserError(
    `${tokenizer.folder}: expected a tokenizer with the special token ${token} of the prompt template, got none; ` +
      'choose a data.template that fits the base model.',
  );
}
