// What the command line prints for anything thrown, and the exit code.
import { Interrupted, type StopSignal, UserError } from '../core/errors.ts';

export const SIGNAL_CODES: Record<StopSignal, number> = { SIGINT: 130, SIGTERM: 143 };

/** Text for stderr and exit code: 2 a mistake of the user, 130 or 143 after a signal, 1 a bug with its stack. */
export function describeFailure(error: unknown): { text: string; code: number } {
  if (error instanceof UserError) return { text: error.message, code: 2 };
  if (error instanceof Interrupted) return { text: error.message, code: SIGNAL_CODES[error.signal] };
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { text: `${stack}\nThis is a bug of rocit: please report it with the command and \`rocit doctor\`.`, code: 1 };
}

/** What yargs found wrong with a call, in the form of the other messages. */
export function describeMisuse(message: string): string {
  const unknown = /^Unknown arguments?: (.+)$/.exec(message)?.[1]?.split(', ');
  const what =
    unknown === undefined
      ? message.replace(/[?.]$/, '')
      : `expected known flags and key=value, got ${withoutTwins(unknown).join(', ')}`;
  return `command line: ${what}; \`rocit --help\` lists verbs and flags.`;
}

/** yargs names an unknown --two-words a second time as twoWords. */
function withoutTwins(names: string[]): string[] {
  const camel = (name: string) => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  return names.filter((name) => !names.some((other) => other !== name && camel(other) === name));
}
