// The two errors the command line treats specially; anything else that is thrown is a bug.

/** A mistake of the user: config, data, file, flag or device. Printed without a stack; exit code 2. */
export class UserError extends Error {
  override readonly name = 'UserError';
}

export type StopSignal = 'SIGINT' | 'SIGTERM';

/** The user or the scheduler asked to stop; work in hand is abandoned. Exit code 130 (SIGINT) or 143 (SIGTERM). */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
  readonly signal: StopSignal;

  constructor(signal: StopSignal) {
    super(`stopped by ${signal}`);
    this.signal = signal;
  }
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
