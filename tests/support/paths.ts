// Where things lie in the checkout.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const repositoryRoot = fileURLToPath(new URL('../..', import.meta.url));

export function inRepository(...parts: string[]): string {
  return join(repositoryRoot, ...parts);
}
