// Compiles src to dist once before the tests, so that tests which start the command line run the code as it is.
// Emits also where types are wrong: the type check is a step of its own.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { repositoryRoot } from './paths.ts';

export function setup(): void {
  const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  const info = join(repositoryRoot, 'build', 'tests.tsbuildinfo');
  if (!existsSync(join(repositoryRoot, 'dist', 'cli.js'))) rmSync(info, { force: true });
  const args = ['-p', 'tsconfig.json', '--incremental', '--tsBuildInfoFile', info];
  const result = spawnSync(process.execPath, [compiler, ...args], {
    cwd: repositoryRoot,
    encoding: 'utf8',
  });
  if (result.status !== 0) process.stderr.write(`${result.stdout}${result.stderr}`);
  if (!existsSync(join(repositoryRoot, 'dist', 'cli.js'))) throw new Error('dist/cli.js was not compiled');
}
