// Jinja chat templates rendered as transformers' apply_chat_template does, on one fixed day.
import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { messageOf } from '../core/errors.ts';
import { looksAtContents } from './jinja_contents.ts';
import { pythonFunctions } from './jinja_python.ts';
import { asPython } from './jinja_rewrite.ts';
import type { ChatMessage } from './sample.ts';
import { strftime } from './strftime.ts';

export interface JinjaTemplate {
  /** @throws TemplateRefusal with the template's own words, or those of the interpreter */
  render(messages: readonly ChatMessage[], add_generation_prompt: boolean): string;
  /** False where it is proven that contents are only written out, whole or without the blanks around them. */
  looksAtContents: boolean;
}

/** A template that does not take a conversation. */
export class TemplateRefusal extends Error {}

/**
 * @param namedTokens bos_token, eos_token, … of the tokenizer
 * @param day YYYY-MM-DD, what `strftime_now` tells
 * @throws TemplateRefusal when the source does not parse
 */
export function parseJinja(source: string, namedTokens: Readonly<Record<string, string>>, day: string): JinjaTemplate {
  // Python's Jinja reads every line end as \n.
  const template = attempt(() => new Template(source.replace(/\r\n?/g, '\n')));
  const isLooking = looksAtContents(template.parsed);
  attempt(() => asPython(template.parsed));
  const globals = new Environment();
  const values = {
    ...{ true: true, false: false, none: null, True: true, False: false, None: null },
    ...{ tools: null, documents: null },
    ...namedTokens,
    range,
    raise_exception: (words: string) => {
      throw new Error(words);
    },
    strftime_now: (format: string) => strftime(day, format),
  };
  for (const [name, value] of Object.entries(values)) globals.set(name, value);
  const { functions, take } = pythonFunctions();
  for (const [name, value] of functions) globals.setVariable(name, value);
  return {
    looksAtContents: isLooking,
    render(messages, add_generation_prompt) {
      const scope = new Environment(globals);
      scope.set(
        'messages',
        messages.map(({ role, content }) => ({ role, content })),
      );
      scope.set('add_generation_prompt', add_generation_prompt);
      // What a rendering that failed has written is thrown away.
      take();
      attempt(() => withoutStacks(() => new Interpreter(scope).run(template.parsed)));
      return take();
    },
  };
}

/** The library throws an error for each variable that is not defined, and catches it: stacks would be most of the time. */
function withoutStacks<T>(run: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return run();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new TemplateRefusal(messageOf(error));
  }
}

function range(start: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
}
