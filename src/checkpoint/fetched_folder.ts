// Folders made by `rocit fetch`. rocit_source.json says where one came from and the size and SHA-256 of each file,
// so that a second fetch can tell a whole folder from a damaged or a foreign one.

import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { readJsonFile, sha256File, syncPath, writeFileAtomic } from '../core/files.ts';
import { isRunning } from '../core/process.ts';

const NAME = 'rocit_source.json';
const FORMAT = 1;

interface Manifest {
  format: number;
  /** What the folder was made from; the same source gives the same files. */
  source: Record<string, string>;
  /** What else is worth knowing, e.g. the commit. */
  details: Record<string, string>;
  files: Record<string, { bytes: number; sha256: string }>;
}

export type FolderState = 'absent' | 'whole' | 'damaged' | 'other source';

/** Bytes done of all bytes (null: unknown) of the work called `what`. */
export type Progress = (what: string, done: number, total: number | null) => void;

/** Writes the manifest of all files that are in `folder` now. */
export async function writeSourceManifest(
  folder: string,
  source: Record<string, string>,
  details: Record<string, string> = {},
): Promise<void> {
  const files: Manifest['files'] = {};
  for (const name of filesIn(folder)) {
    const path = join(folder, name);
    files[name] = { bytes: statSync(path).size, sha256: await sha256File(path) };
  }
  const manifest: Manifest = { format: FORMAT, source, details, files };
  writeFileAtomic(join(folder, NAME), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Compares a folder with its manifest; a folder that holds anything but has no manifest is refused. */
export async function checkSourceManifest(folder: string, source: Record<string, string>): Promise<FolderState> {
  if (!existsSync(folder) || readdirSync(folder).length === 0) return 'absent';
  const path = join(folder, NAME);
  if (!existsSync(path)) {
    throw new UserError(
      `${folder}: expected no folder or one made by rocit fetch, got other files; remove it or choose another --output.`,
    );
  }
  const manifest = readJsonFile(path, 'the manifest of a fetched folder') as Partial<Manifest>;
  if (manifest.format !== FORMAT || JSON.stringify(manifest.source) !== JSON.stringify(source)) return 'other source';
  for (const [name, expected] of Object.entries(manifest.files ?? {})) {
    const file = join(folder, name);
    if (!existsSync(file) || statSync(file).size !== expected.bytes) return 'damaged';
    if ((await sha256File(file)) !== expected.sha256) return 'damaged';
  }
  return 'whole';
}

/** Puts a finished folder in the place of `folder`; an older one stays until then and is removed afterwards. */
export function swapIn(finished: string, folder: string): void {
  const old = join(dirname(folder), `.${basename(folder)}.old-${process.pid}`);
  const isReplacing = existsSync(folder);
  if (isReplacing) renameSync(folder, old);
  try {
    renameSync(finished, folder);
  } catch (error) {
    if (isReplacing) renameSync(old, folder);
    throw error;
  }
  syncPath(dirname(folder));
  rmSync(old, { recursive: true, force: true });
}

/** Removes what fetches of `folder` left beside it when they were killed. */
export function removeLeftovers(folder: string): void {
  if (!existsSync(dirname(folder))) return;
  for (const name of readdirSync(dirname(folder))) {
    const owner = /\.(?:tmp|old|new)-(\d+)$/.exec(name)?.[1];
    if (owner !== undefined && name.includes(`.${basename(folder)}.`) && !isRunning(Number(owner))) {
      rmSync(join(dirname(folder), name), { recursive: true, force: true });
    }
  }
}

/** The files of a folder and its folders, by path inside it, without the manifest. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => basename(name) !== NAME && statSync(join(folder, name)).isFile())
    .sort();
}
