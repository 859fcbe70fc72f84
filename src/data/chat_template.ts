// A conversation through a tokenizer's Jinja chat template: the template's own rendering of the real contents, cut at
// its special tokens and at the targets. Where an answer begins and ends is followed with marks and proven: the text
// with marks must be the rendering once they are taken out. What cannot be proven is refused.
import { checkContents, type Followed, followContents, type Mode, render, tryRender } from './chat_contents.ts';
import { type Target, targetsOf } from './chat_targets.ts';
import { type JinjaTemplate, parseJinja } from './jinja.ts';
import { type Mark, strip, stripEnd, stripStart } from './marks.ts';
import { attempt, BadRow } from './refusals.ts';
import { type ChatMessage, isTarget, type Segment } from './sample.ts';
import type { TokenFinder } from './token_finder.ts';

export interface ChatTemplate {
  /** Segments of a conversation up to its last target, and how many answers read otherwise in the template's text. */
  conversation(messages: readonly ChatMessage[]): { segments: Segment[]; rewritten: number };
  /** Segments up to where an answer is to begin. */
  prompt(messages: readonly ChatMessage[]): Segment[];
  /** Whether generation begins answers behind another text than the one that stands before answers in training. */
  promptDiffers: boolean;
}

export interface ChatTemplateSettings {
  source: string;
  /** bos_token, eos_token, … of the tokenizer. */
  namedTokens: Readonly<Record<string, string>>;
  eosToken: string;
  /** Finds the tokens that a template writes. */
  specials: TokenFinder;
  /** YYYY-MM-DD */
  day: string;
}

/** Text or a special token of the template, or the content of a message; and whose answer it is a part of. */
type Piece = ({ text: string } | { token: string } | Slot) & { target: number | null };
interface Slot {
  message: number;
  /** The ends at which the template strips the content. */
  strips: { start: boolean; end: boolean };
}

const MAX_SKELETONS = 1024;
/** Stands for any content: a text between two blanks that no template writes, so that they tell what it strips. */
const BLANKS = { start: '\u2003', end: '\u2002' };
const NEUTRAL = `${BLANKS.start}x${BLANKS.end}`;

/**
 * Methods throw BadRow for a conversation that the template refuses, or in which a target cannot be proven.
 * @throws TemplateRefusal when the source does not parse
 */
export function createChatTemplate(settings: ChatTemplateSettings): ChatTemplate {
  const template = parseJinja(settings.source, settings.namedTokens, settings.day);
  const isBlind = !template.looksAtContents && !/[\u2002\u2003]/.test(settings.source);
  const skeletons = new Map<string, Piece[] | BadRow>();

  /** Rendered once for a sequence of turns, with neutral contents; only for templates that do not look at them. */
  function skeleton(messages: readonly ChatMessage[], isGeneration: boolean): Piece[] {
    const key = `${messages.map(({ role, train }) => (train === false ? `${role} -` : role)).join()} ${isGeneration}`;
    let found = skeletons.get(key);
    if (found === undefined) {
      if (skeletons.size >= MAX_SKELETONS) skeletons.clear();
      const neutral = messages.map((message) => ({ ...message, content: NEUTRAL }));
      found = attempt(() => piecesOf(settings, template, neutral, { isGeneration, isSkeleton: true }));
      skeletons.set(key, found);
    }
    if (found instanceof BadRow) throw found;
    return found;
  }

  function pieces(messages: readonly ChatMessage[], isGeneration: boolean): Piece[] {
    if (isBlind && messages.every(({ content }) => strip(content) !== '')) return skeleton(messages, isGeneration);
    return piecesOf(settings, template, messages, { isGeneration, isSkeleton: false });
  }

  return {
    promptDiffers: promptDiffers(template),
    prompt: (messages) => fill(pieces(messages, true), messages, () => false),
    conversation(messages) {
      const all = pieces(messages, false);
      const segments = fill(all, messages, (target) => isTarget(messages[target] as ChatMessage));
      const last = segments.findLastIndex(({ is_target }) => is_target);
      return { segments: segments.slice(0, last + 1), rewritten: countRewritten(all, messages) };
    },
  };
}

function promptDiffers(template: JinjaTemplate): boolean {
  const question: ChatMessage = { role: 'user', content: NEUTRAL };
  const prompt = tryRender(template, [question], true);
  const whole = tryRender(template, [question, { role: 'assistant', content: NEUTRAL }], false);
  return prompt !== null && whole !== null && !whole.startsWith(prompt);
}

function fill(
  pieces: readonly Piece[],
  messages: readonly ChatMessage[],
  learns: (message: number) => boolean,
): Segment[] {
  return pieces.map((piece): Segment => {
    const is_target = piece.target !== null && learns(piece.target);
    if ('token' in piece) return { token: piece.token, is_target };
    return { text: 'text' in piece ? piece.text : contentOf(piece, messages), is_target };
  });
}

function contentOf({ message, strips }: Slot, messages: readonly ChatMessage[]): string {
  const content = messages[message]?.content ?? '';
  const from = strips.start ? stripStart(content) : content;
  return strips.end ? stripEnd(from) : from;
}

/** Answers that do not stand in their target as the data has them; blanks around them do not count. */
function countRewritten(pieces: readonly Piece[], messages: readonly ChatMessage[]): number {
  const isRewritten = (message: ChatMessage, i: number) => {
    const own = pieces.filter(({ target }) => target === i);
    if (!isTarget(message) || own.some((piece) => 'message' in piece)) return false;
    const text = own.map((piece) => ('text' in piece ? piece.text : 'token' in piece ? piece.token : '')).join('');
    return !text.includes(strip(message.content));
  };
  return messages.filter(isRewritten).length;
}

function piecesOf(
  settings: ChatTemplateSettings,
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  { isGeneration, isSkeleton }: Mode,
): Piece[] {
  const plain = render(template, messages, isGeneration);
  const found = followContents(settings.specials, template, messages, plain, { isGeneration, isSkeleton });
  const text = { plain, marks: isSkeleton ? found.map((one) => widened(one, plain)) : found };
  checkContents(template, messages, text, isGeneration);
  const targets = isGeneration ? [] : targetsOf(settings, template, messages, text);
  return cut(settings, text, targets, isSkeleton);
}

/** A mark moved over the blank of a neutral content, where it is left. */
function widened(one: Mark, plain: string): Mark {
  if (one.kind === 'start' && plain[one.at - 1] === BLANKS.start) return { ...one, at: one.at - 1 };
  return one.kind === 'end' && plain[one.at] === BLANKS.end ? { ...one, at: one.at + 1 } : one;
}

/** Cuts the text at the template's tokens, at the targets and, for a skeleton, around contents. */
function cut(
  settings: ChatTemplateSettings,
  { plain, marks }: Followed,
  targets: readonly Target[],
  isSkeleton: boolean,
): Piece[] {
  const slots = isSkeleton ? slotsOf(plain, marks) : [];
  const tokens = settings.specials.find(plain, marks);
  const places = new Set([0, plain.length]);
  for (const { start, end } of [...targets, ...tokens, ...slots]) places.add(start).add(end);
  const sorted = [...places].sort((a, b) => a - b);
  const unclosed = new Map(targets.filter(({ needsEnd }) => needsEnd).map((target) => [target.end, target.message]));
  return sorted.flatMap((start, k): Piece[] => {
    const target = unclosed.get(start);
    const added = target === undefined ? [] : [{ token: settings.eosToken, target }];
    const end = sorted[k + 1];
    return end === undefined ? added : [...added, piece(start, end)];
  });

  function piece(start: number, end: number): Piece {
    const isIn = (range: { start: number; end: number }) => range.start <= start && end <= range.end;
    const target = targets.find(isIn)?.message ?? null;
    const slot = slots.find(isIn);
    if (slot !== undefined) return { message: slot.message, strips: slot.strips, target };
    const token = tokens.find(isIn)?.token;
    return token === undefined ? { text: plain.slice(start, end), target } : { token, target };
  }
}

/** Where the neutral contents of a skeleton stand, with those of their blanks that are left. */
function slotsOf(plain: string, marks: readonly Mark[]): (Slot & { start: number; end: number })[] {
  return marks.flatMap(({ kind, message, at }) => {
    const close = marks.find((one) => one.kind === 'end' && one.message === message && one.at >= at);
    if (kind !== 'start' || close === undefined) return [];
    const strips = { start: plain[at] !== BLANKS.start, end: plain[close.at - 1] !== BLANKS.end };
    return [{ message, strips, start: at, end: close.at }];
  });
}
