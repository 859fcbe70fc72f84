// Folders that are gone after the test file.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A new empty folder, removed when the tests of the file are over. Call it inside describe or at the top of a file. */
export function temporaryFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'rocit-test-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
