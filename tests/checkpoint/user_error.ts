// The text of the UserError that a call must throw.
import { UserError } from '../../src/core/errors.ts';

/** The message with `folder` taken out of its paths. Anything else that is thrown, or nothing, fails. */
export function userErrorOf(run: () => unknown, folder: string): string {
  try {
    run();
  } catch (error) {
    return messageIn(error, folder);
  }
  throw new Error('expected a UserError, nothing was thrown');
}

/** As userErrorOf, for work that returns a promise. */
export async function userErrorFrom(work: Promise<unknown>, folder: string): Promise<string> {
  let failure: unknown = new Error('expected a UserError, nothing was thrown');
  await work.catch((error: unknown) => {
    failure = error;
  });
  return messageIn(failure, folder);
}

function messageIn(error: unknown, folder: string): string {
  if (error instanceof UserError) return error.message.replaceAll(folder, '<folder>');
  throw error;
}
