// Rows that are refused: counted and left out, or collected and raised together.
import { UserError } from '../core/errors.ts';
import type { RefusalReason, RowPlace } from './sample.ts';

/** What is wrong with a row: `expected …, got …`, without place and advice. */
export class BadRow extends Error {
  readonly reason: RefusalReason;

  constructor(problem: string, reason: RefusalReason = 'bad_row') {
    super(problem);
    this.reason = reason;
  }
}

/** What a function gives, or the BadRow that it throws. */
export function attempt<T>(run: () => T): T | BadRow {
  try {
    return run();
  } catch (error) {
    if (error instanceof BadRow) return error;
    throw error;
  }
}

/** What happens to a row that is refused. */
export type OnBadRow = 'error' | 'drop';

const MOST = 5;

const ADVICE: Record<RefusalReason, string> = {
  bad_row: 'fix or remove the row',
  bad_text: 'fix or remove the row',
  template: 'change the row, or set data.template=rolellama',
  unproven: 'change the row, or set data.template=rolellama',
};

export class Refusals {
  readonly lines: string[] = [];
  count = 0;
  private readonly mode: OnBadRow;

  constructor(mode: OnBadRow) {
    this.mode = mode;
  }

  /** @throws UserError with all of them, once enough have come */
  add(place: RowPlace, { message, reason }: BadRow): void {
    this.count += 1;
    if (this.mode === 'drop') return;
    this.lines.push(`${placeText(place)}: ${message}; ${ADVICE[reason]}.`);
    if (this.lines.length < MOST) return;
    throw this.error(`\nReading stopped after ${MOST} bad rows; there may be more.`);
  }

  /** @throws UserError with those that have come */
  finish(): void {
    if (this.lines.length > 0) throw this.error('');
  }

  private error(more: string): UserError {
    return new UserError(`${this.lines.join('\n')}${more}`);
  }
}

/** `file:line`, and the number of the element for a list. */
export function placeText({ file, row, line }: RowPlace): string {
  return line === undefined ? `${file}:${row}` : `${file}:${line} (element ${row})`;
}
