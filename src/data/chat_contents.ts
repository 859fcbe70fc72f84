// Where the contents of messages stand in a chat template's text: followed with marks, and proven, since the text with
// marks must be the plain rendering once they are taken out.
import { type JinjaTemplate, TemplateRefusal } from './jinja.ts';
import { type Mark, mark, strip, stripEnd, takeMarks } from './marks.ts';
import { BadRow } from './refusals.ts';
import type { ChatMessage } from './sample.ts';
import type { TokenFinder } from './token_finder.ts';

/** @throws BadRow with the template's own words */
export function render(template: JinjaTemplate, messages: readonly ChatMessage[], isGeneration: boolean): string {
  try {
    return template.render(messages, isGeneration);
  } catch (error) {
    if (!(error instanceof TemplateRefusal)) throw error;
    throw new BadRow(`expected messages that the chat template takes, got "${error.message}"`, 'template');
  }
}

export function tryRender(
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  isGeneration: boolean,
): string | null {
  try {
    return template.render(messages, isGeneration);
  } catch (error) {
    if (error instanceof TemplateRefusal) return null;
    throw error;
  }
}

/** What a rendering is for. */
export interface Mode {
  isGeneration: boolean;
  /** Whether contents are kept apart as slots, to be filled with others. */
  isSkeleton: boolean;
}

/** A rendering and where contents begin and end in it. */
export interface Followed {
  plain: string;
  marks: Mark[];
}

export type Marking = (message: ChatMessage, i: number) => string;

/**
 * Renders the conversation with marks in it until a rendering is, without them, the plain one: marks around the whole
 * contents, then inside the blanks around them, then only behind the answers, then none.
 */
export function followContents(
  specials: TokenFinder,
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  rendering: string,
  { isGeneration, isSkeleton }: Mode,
): Mark[] {
  const apart = (text: string, i: number) => specials.breakUp(text, mark('break', i));
  const outside: Marking = ({ content }, i) => mark('start', i) + apart(content, i) + mark('end', i);
  const inside: Marking = ({ content }, i) => {
    const core = strip(content);
    const at = content.indexOf(core);
    const behind = content.slice(at + core.length);
    return content.slice(0, at) + mark('start', i) + apart(core, i) + mark('end', i) + behind;
  };
  const behind: Marking = (message, i) => {
    const { role, content } = message;
    const kept = stripEnd(content);
    return apart(kept, i) + (role === 'assistant' ? mark('end', i) : '') + content.slice(kept.length);
  };
  const only: Marking = ({ content }, i) => apart(content, i);
  for (const marking of isSkeleton ? [inside] : [outside, inside, behind, only]) {
    const marks = tryMarks(template, messages, rendering, isGeneration, marking);
    if (marks !== null) return marks;
  }
  throw new BadRow(
    'expected contents that can be followed through the chat template, got one that it reads and that spells a special token',
    'unproven',
  );
}

/** The marks of a rendering that is the plain one without them, or null. */
export function tryMarks(
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  rendering: string,
  isGeneration: boolean,
  marking: Marking,
): Mark[] | null {
  const marked = messages.map((message, i) =>
    strip(message.content) === '' ? message : { ...message, content: marking(message, i) },
  );
  const text = tryRender(template, marked, isGeneration);
  if (text === null) return null;
  const { plain, marks } = takeMarks(text);
  return plain === rendering ? marks : null;
}

/** Every content must be in the text: a prompt without its system message would be another prompt. */
export function checkContents(
  template: JinjaTemplate,
  messages: readonly ChatMessage[],
  { plain, marks }: Followed,
  isGeneration: boolean,
): void {
  const marked = new Set(marks.flatMap(({ kind, message }) => (kind === 'break' ? [] : [message])));
  for (const [i, { role, content }] of messages.entries()) {
    if (strip(content) === '' || marked.has(i)) continue;
    // What is written in its place is written, whatever the template does with the content itself.
    const other = messages.map((message, k) => (k === i ? { ...message, content: `x${mark('start', i)}x` } : message));
    const text = tryRender(template, other, isGeneration);
    if (text === null ? plain.includes(strip(content)) : takeMarks(text).marks.length > 0) continue;
    throw new BadRow(
      `expected a chat template that writes every message, got none of messages[${i}] (${role})`,
      'unproven',
    );
  }
}
