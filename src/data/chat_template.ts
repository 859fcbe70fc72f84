// A tokenizer's Jinja chat template as pieces: rendered once for each sequence of message roles, with markers in place
// of the contents, and split there. So no content is ever read as markup, and special tokens become ids.
import { Template } from '@huggingface/jinja';
import { messageOf, UserError } from '../core/errors.ts';
import type { ChatMessage } from './sample.ts';
import type { Tokenizer } from './tokenizer.ts';
import { alternatives } from './word_encoder.ts';

/** Text or a special token of the template, or the content of one message. */
export type SkeletonPiece = { text: string; is_target: boolean } | { token: string; is_target: boolean } | Content;
interface Content {
  message: number;
  is_target: boolean;
}

type Roles = readonly ChatMessage['role'][];

const MARKER = /\uE000m(\d+)\uE001/u;

/**
 * The pieces of a conversation with these message roles. Each assistant turn is a target with its end token; what comes
 * behind the last target is left out.
 * @param isGeneration whether the pieces end where an answer is to begin
 * @throws UserError when the template refuses the roles, or changes or moves contents
 */
export function chatSkeleton(tokenizer: Tokenizer, source: string, roles: Roles, isGeneration: boolean) {
  const render = createRenderer(tokenizer, source);
  const text = render(roles, isGeneration);
  checkMarkers(tokenizer, text, roles.length);
  const ranges = isGeneration ? [] : targetRanges(tokenizer, render, text, roles);
  const pieces = cut(tokenizer, text, ranges);
  if (isGeneration) return pieces;
  const last = pieces.findLastIndex(({ is_target }) => is_target);
  return pieces.slice(0, last + 1);
}

type Render = (roles: Roles, addGenerationPrompt: boolean) => string;

function createRenderer(tokenizer: Tokenizer, source: string): Render {
  const refuse = (error: unknown): never => {
    throw new UserError(
      `${tokenizer.folder}: expected a chat template that takes these messages, got "${messageOf(error)}"; ` +
        'set data.template=rolellama or change the rows.',
    );
  };
  let template: Template;
  try {
    // A prompt must not depend on the day: templates then write a fixed date or none.
    template = new Template(source.replaceAll('strftime_now is defined', 'false'));
  } catch (error) {
    return refuse(error);
  }
  return (roles, addGenerationPrompt) => {
    const messages = roles.map((role, i) => ({ role, content: marker(i) }));
    try {
      return template.render({
        messages,
        add_generation_prompt: addGenerationPrompt,
        bos_token: tokenizer.bosToken ?? '',
        eos_token: tokenizer.eosToken,
      });
    } catch (error) {
      return refuse(error);
    }
  };
}

function marker(message: number): string {
  return `\uE000m${message}\uE001`;
}

function checkMarkers(tokenizer: Tokenizer, text: string, messages: number): void {
  const found = [...text.matchAll(new RegExp(MARKER, 'gu'))].map((match) => Number(match[1]));
  const isRight = found.length === messages && found.every((message, i) => message === i);
  if (isRight) return;
  throw new UserError(
    `${tokenizer.folder}: expected a chat template that writes the content of each of ${messages} messages once and in ` +
      `order, got the contents ${found.join(', ') || 'of none'}; set data.template=rolellama.`,
  );
}

interface Range {
  start: number;
  end: number;
  /** Whether an end token has to be put behind, because the template writes none. */
  needsEnd: boolean;
}

/** Where the target of each assistant turn lies: from the end of its generation prompt to its end token. */
function targetRanges(tokenizer: Tokenizer, render: Render, text: string, roles: Roles): Range[] {
  const specials = alternatives(tokenizer.specialTokens);
  return roles.flatMap((role, i) => {
    if (role !== 'assistant') return [];
    const content = text.indexOf(marker(i));
    const prompt = i === 0 ? '' : render(roles.slice(0, i), true);
    const start = text.startsWith(prompt) && prompt.length <= content ? prompt.length : content;
    const contentEnd = content + marker(i).length;
    const [gap = '', token] = specials === null ? [] : text.slice(contentEnd).split(specials, 2);
    const isClosed = token !== undefined && gap.trim() === '';
    const end = isClosed ? contentEnd + gap.length + token.length : contentEnd;
    return [{ start, end, needsEnd: !isClosed }];
  });
}

function cut(tokenizer: Tokenizer, text: string, ranges: readonly Range[]): SkeletonPiece[] {
  const pieces: SkeletonPiece[] = [];
  let at = 0;
  for (const { start, end, needsEnd } of ranges) {
    pieces.push(...split(tokenizer, text.slice(at, start), false), ...split(tokenizer, text.slice(start, end), true));
    if (needsEnd) pieces.push({ token: tokenizer.eosToken, is_target: true });
    at = end;
  }
  return [...pieces, ...split(tokenizer, text.slice(at), false)];
}

function split(tokenizer: Tokenizer, text: string, is_target: boolean): SkeletonPiece[] {
  const specials = alternatives(tokenizer.specialTokens);
  return text.split(new RegExp(MARKER, 'u')).flatMap((part, i): SkeletonPiece[] => {
    if (i % 2 === 1) return [{ message: Number(part), is_target }];
    const parts = specials === null ? [part] : part.split(specials);
    return parts.flatMap((piece, j): SkeletonPiece[] => {
      if (piece === '') return [];
      return [j % 2 === 1 ? { token: piece, is_target } : { text: piece, is_target }];
    });
  });
}
