// npm packages as the lock file names them, and TypeScript to dist/.
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { onPath } from './machine.mjs';
import { filesUnder, isStamped, keyOf, root, run, SetupError, writeStamp } from './steps.mjs';

const modules = join(root, 'node_modules');

function readPackages(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : null;
}

/** True when every package that the lock demands is installed in that version (npm's own record of node_modules says so). */
function areInstalled() {
  const wanted = readPackages(join(root, 'package-lock.json'));
  const installed = readPackages(join(modules, '.package-lock.json'));
  if (wanted === null || installed === null) return false;
  return Object.entries(wanted).every(
    ([path, { version, optional, peer }]) => path === '' || optional || peer || installed[path]?.version === version,
  );
}

export function packagesStep() {
  return {
    title: 'npm packages',
    isDone: areInstalled,
    run: async () => {
      if (onPath('npm') === null)
        throw new SetupError('expected npm on PATH, got none: it installs the packages; install Node >= 20 with npm.');
      // Not `npm ci`: it refuses a lock that leaves out optional packages of other platforms.
      await run('npm', 'npm', ['install', '--no-save', '--prefer-offline']);
    },
  };
}

export function typescriptStep() {
  const output = join(root, 'dist');
  const key = keyOf(['src', 'tsconfig.json', 'package-lock.json'].map((name) => join(root, name)));
  return {
    title: 'TypeScript',
    isDone: () => isStamped('typescript', key, [output]),
    run: async () => {
      await run('tsc', process.execPath, [join(modules, 'typescript/bin/tsc'), '-p', join(root, 'tsconfig.json')]);
      removeStale(output);
      writeStamp('typescript', key);
    },
  };
}

/** A file of dist whose source is gone would still be importable. */
function removeStale(output) {
  for (const path of filesUnder(output)) {
    const source = join(root, 'src', relative(output, path).replace(/(\.d\.ts|\.js|\.js\.map)$/, '.ts'));
    if (!existsSync(source)) rmSync(path);
  }
}
