// rocit_source.json of a fetched folder: where it came from and the size and SHA-256 of each file,
// so that a second fetch can tell a whole folder from a damaged or a foreign one.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { readJsonFile, sha256File, writeFileAtomic } from '../core/files.ts';

const NAME = 'rocit_source.json';
const FORMAT = 1;

interface Manifest {
  format: number;
  /** What the folder was made from; the same source gives the same files. */
  source: Record<string, string>;
  files: Record<string, { bytes: number; sha256: string }>;
}

export type FolderState = 'absent' | 'whole' | 'damaged' | 'other source';

/** Writes the manifest of all files that are in `folder` now. */
export async function writeSourceManifest(folder: string, source: Record<string, string>): Promise<void> {
  const files: Manifest['files'] = {};
  for (const name of listFiles(folder)) {
    const path = join(folder, name);
    files[name] = { bytes: statSync(path).size, sha256: await sha256File(path) };
  }
  const manifest: Manifest = { format: FORMAT, source, files };
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

function listFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((name) => basename(name) !== NAME && statSync(join(folder, name)).isFile())
    .sort();
}
