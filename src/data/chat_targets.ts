// Where the targets of a conversation lie in a chat template's text: each from the end of its generation prompt to its
// end token.
import { type Followed, tryMarks, tryRender } from './chat_contents.ts';
import type { JinjaTemplate } from './jinja.ts';
import { type Mark, mark, strip, stripEnd } from './marks.ts';
import { BadRow } from './refusals.ts';
import { type ChatMessage, isTarget } from './sample.ts';
import type { TokenFinder } from './token_finder.ts';

/** Characters that a template's text and the dropped part of an answer may end with alike. */
const MAX_CHANCE = 32;

export interface Target {
  message: number;
  start: number;
  end: number;
  /** Whether an end token has to be put behind, because the template writes none. */
  needsEnd: boolean;
}

/** Where the target of each answer lies: from the end of its generation prompt to its end token. */
export function targetsOf(
  specials: TokenFinder,
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  text: Followed,
): Target[] {
  const targets: Target[] = [];
  const tokens = specials.find(text.plain, text.marks);
  for (const [message, one] of messages.entries()) {
    if (!isTarget(one)) continue;
    const contentEnd = only(text.marks, 'end', message);
    const after = Math.max(0, ...targets.map(({ end }) => end), ...endsBefore(text.marks, message));
    const start = startOf(template, messages, text, { message, after, contentEnd });
    if (strip(text.plain.slice(start, contentEnd)) === '') {
      throw new BadRow(
        `expected a chat template that keeps the answer messages[${message}], got nothing of it`,
        'unproven',
      );
    }
    const token = tokens.find(({ start: at }) => at >= contentEnd);
    const isClosed = token !== undefined && strip(text.plain.slice(contentEnd, token.start)) === '';
    targets.push({ message, start, end: isClosed ? token.end : contentEnd, needsEnd: !isClosed });
  }
  return targets;
}

/**
 * Where a target begins: behind the prompt that generation would have; else behind the last text that
 * `add_generation_prompt` adds; else where the content begins.
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
  const generation = generationPrompt(template, messages, plain);
  const isSpelt = contentStart === null && messages[message]?.content.includes(generation);
  const at = generation === '' || isSpelt ? -1 : plain.lastIndexOf(generation, limit - generation.length);
  if (at >= after) return at + generation.length;
  return contentStart ?? survivingStart(template, messages, plain, message, contentEnd);
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
