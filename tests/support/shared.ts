// Real RoleBench rows beside the checkout, where somebody has put them.
import { existsSync } from 'node:fs';
import { inRepository } from './paths.ts';

let isSaid = false;

/** The folder with RoleBench as released, or null: the tests that want it then skip, and this says why, once. */
export function sharedRolebench(): string | null {
  const path = inRepository('..', 'shared', 'rolebench');
  if (existsSync(path)) return path;
  if (!isSaid) process.stderr.write('skipped: tests on real RoleBench rows, none at ../shared/rolebench\n');
  isSaid = true;
  return null;
}
