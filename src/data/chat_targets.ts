// Where the targets of a conversation lie in a chat template's text: each from the end of its generation prompt to the
// end of its turn: a token, or words where the tokenizer has no such token.
import { type Followed, tryMarks, tryRender } from './chat_contents.ts';
import type { JinjaTemplate } from './jinja.ts';
import { type Mark, mark, strip, stripEnd } from './marks.ts';
import { BadRow } from './refusals.ts';
import { type ChatMessage, isTarget } from './sample.ts';
import type { FoundToken, TokenFinder } from './token_finder.ts';

/** Characters that a template's text and the dropped part of an answer may end with alike. */
const MAX_CHANCE = 32;

export interface Target {
  message: number;
  start: number;
  end: number;
  /** Whether an end token has to be put behind, because the template writes none. */
  needsEnd: boolean;
}

export interface TargetSettings {
  specials: TokenFinder;
  eosToken: string;
}

/** Where the target of each answer lies: from the end of its generation prompt to its end. */
export function targetsOf(
  settings: TargetSettings,
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  text: Followed,
): Target[] {
  const targets: Target[] = [];
  for (const [message, one] of messages.entries()) {
    if (!isTarget(one)) continue;
    const contentEnd = only(text.marks, 'end', message);
    const limit = tryOnly(text.marks, 'start', message) ?? contentEnd;
    const ends = [...targets.map(({ end }) => end), ...endsBefore(text.marks, message)];
    const after = Math.max(0, ...ends.filter((end) => end <= limit));
    const start = startOf(template, messages, text, { message, after, contentEnd });
    if (strip(text.plain.slice(start, contentEnd)) === '') {
      throw new BadRow(
        `expected a chat template that keeps the answer messages[${message}], got nothing of it`,
        'unproven',
      );
    }
    targets.push({ message, start, ...endOf(settings, template, messages, text, message, contentEnd) });
  }
  return targets;
}

/** Longer words behind an answer are no end of a turn. */
const MAX_END = 64;

/**
 * Where a target ends: with the token that closes the answer, or with the words that the template ends a turn with where
 * these are no token; then the last answer gets the tokenizer's end token. What closes an answer only where another turn
 * follows opens that turn.
 */
function endOf(
  { specials, eosToken }: TargetSettings,
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  { plain, marks }: Followed,
  message: number,
  contentEnd: number,
): { end: number; needsEnd: boolean } {
  const token = closing(specials, eosToken, plain, marks, contentEnd);
  if (token?.token === eosToken) return { end: token.end, needsEnd: false };
  const isLast = message === messages.length - 1;
  const alone = isLast ? plain : tryRender(template, messages.slice(0, message + 1), false);
  // What is written differently while a conversation goes on cannot be compared.
  const isAlike = alone?.startsWith(plain.slice(0, contentEnd)) === true;
  const before = marks.filter(({ at }) => at <= contentEnd);
  const lone = isAlike ? closing(specials, eosToken, alone, before, contentEnd) : token;
  if (token !== null && lone?.token === token.token) return { end: token.end, needsEnd: false };
  if (token === null && !isAlike) {
    throw new BadRow(
      `expected a chat template whose end of the answer messages[${message}] can be found, got one that writes the answer ` +
        'otherwise when nothing follows',
      'unproven',
    );
  }
  const tail = isAlike && lone === null ? alone.slice(contentEnd) : '';
  // With the blanks behind them, which may share a token with the words.
  const words = strip(tail) === '' ? '' : tail;
  if (words.length > MAX_END) {
    throw new BadRow(
      `expected a chat template that ends an answer with a token or a few words, got ${JSON.stringify(words.slice(0, 40))}…`,
      'unproven',
    );
  }
  const end = plain.startsWith(words, contentEnd) ? contentEnd + words.length : contentEnd;
  return { end, needsEnd: lone === null && messages.findLastIndex(isTarget) === message };
}

/**
 * The token that stands behind an answer with nothing but white space between, or null; the end token, where it stands
 * behind others.
 */
function closing(
  specials: TokenFinder,
  eosToken: string,
  plain: string,
  marks: readonly Mark[],
  contentEnd: number,
): FoundToken | null {
  const tokens = specials.find(plain, marks).filter(({ start }) => start >= contentEnd);
  let at = contentEnd;
  const run = tokens.filter(({ start, end }) => {
    const isNext = strip(plain.slice(at, start)) === '';
    if (isNext) at = end;
    return isNext;
  });
  return run.find(({ token }) => token === eosToken) ?? run[0] ?? null;
}

/**
 * Where a target begins: behind the prompt that generation would have, or behind what that prompt has after the message
 * before; else behind the last text that `add_generation_prompt` adds; else where the content begins.
 */
function startOf(
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  { plain, marks }: Followed,
  { message, after, contentEnd }: { message: number; after: number; contentEnd: number },
): number {
  const contentStart = tryOnly(marks, 'start', message);
  const limit = contentStart ?? contentEnd;
  const prompt = tryRender(template, messages.slice(0, message), true);
  const isPrompt = prompt !== null && plain.startsWith(prompt);
  if (isPrompt && prompt.length >= after && prompt.length <= limit) return prompt.length;
  const behind = behindPrevious(messages, { plain, marks }, message, prompt ?? '');
  if (behind !== null && behind >= after && behind <= limit) return behind;
  const generation = generationPrompt(template, messages, plain);
  const isSpelt = contentStart === null && messages[message]?.content.includes(generation);
  const at = generation === '' || isSpelt ? -1 : plain.lastIndexOf(generation, limit - generation.length);
  if (at >= after) return at + generation.length;
  return contentStart ?? survivingStart(template, messages, plain, message, contentEnd);
}

/** Where the text that a prompt has behind its last message ends in the conversation, or null where that is another. */
function behindPrevious(
  messages: readonly ChatMessage[],
  { plain, marks }: Followed,
  message: number,
  prompt: string,
): number | null {
  const core = strip(messages[message - 1]?.content ?? '');
  const end = tryOnly(marks, 'end', message - 1);
  const at = core === '' ? -1 : prompt.lastIndexOf(core);
  if (at === -1 || end === null) return null;
  const tail = prompt.slice(at + core.length);
  const from = plain.lastIndexOf(core, end - core.length) + core.length;
  return tail !== '' && plain.startsWith(tail, from) ? from + tail.length : null;
}

/** What `add_generation_prompt` adds behind a conversation; empty where that is not a plain addition. */
function generationPrompt(template: JinjaTemplate, messages: readonly ChatMessage[], plain: string): string {
  const text = tryRender(template, messages, true);
  return text?.startsWith(plain) === true ? text.slice(plain.length) : '';
}

/** Where what is left of an answer begins, of which the template has dropped the beginning: found and proven. */
function survivingStart(
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  plain: string,
  message: number,
  contentEnd: number,
): number {
  const content = stripEnd(messages[message]?.content ?? '');
  let same = 0;
  while (
    same < content.length &&
    same < contentEnd &&
    content[content.length - 1 - same] === plain[contentEnd - 1 - same]
  ) {
    same += 1;
  }
  // The same characters may stand before it by chance.
  for (
    let place = content.length - same;
    place < content.length && same - content.length + place < MAX_CHANCE;
    place++
  ) {
    const marks = tryMarks(template, messages, plain, false, ({ content: text }, i) =>
      i === message ? text.slice(0, place) + mark('start', i) + text.slice(place) : text,
    );
    const start = marks === null ? null : tryOnly(marks, 'start', message);
    if (start !== null) return start;
  }
  throw new BadRow(
    `expected a chat template in whose text the answer messages[${message}] can be found, got another text`,
    'unproven',
  );
}

/** The only mark of a kind. */
function tryOnly(marks: readonly Mark[], kind: Mark['kind'], message: number): number | null {
  const found = marks.filter((one) => one.kind === kind && one.message === message);
  return found.length === 1 ? (found[0]?.at ?? null) : null;
}

function only(marks: readonly Mark[], kind: Mark['kind'], message: number): number {
  const at = tryOnly(marks, kind, message);
  if (at !== null) return at;
  throw new BadRow(
    `expected a chat template that writes the answer messages[${message}] once and to its end, got another text`,
    'unproven',
  );
}

function endsBefore(marks: readonly Mark[], message: number): number[] {
  return marks.flatMap(({ kind, message: i, at }) => (kind === 'end' && i < message ? [at] : []));
}
