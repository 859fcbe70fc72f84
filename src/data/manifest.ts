// The manifest of a folder of shards: what it was made from, and which files it holds. It is written last, so a folder
// with a manifest is complete.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJsonFile, writeFileAtomic } from '../core/files.ts';
import { isObject } from '../core/json.ts';
import type { SplitStats } from './sample.ts';
import type { ShardInfo } from './shards.ts';

/** Whatever changes the samples; two folders with equal identity hold the same. */
export interface Identity {
  tokenizer_hash: string;
  /** Name and version of what made the ids. */
  tokenizer_library: string;
  template_hash: string;
  source_hash: string;
  settings_hash: string;
  tool_version: string;
}

export interface SplitManifest {
  name: string;
  shards: ShardInfo[];
  stats: SplitStats;
  /** Hash over the shards: equal where the samples are equal. */
  hash: string;
}

export interface Manifest {
  format_version: 2;
  identity: Identity;
  train: SplitManifest;
  eval: SplitManifest | null;
  roles: { all: number; without_description: number };
  /** Distinct questions of one role that stand in both splits. */
  shared_questions: number;
  /** Keys of the rows that nothing reads. */
  ignored_keys: string[];
}

const NAMES: Record<keyof Identity, string> = {
  tokenizer_hash: 'tokenizer',
  tokenizer_library: 'tokenizer library',
  template_hash: 'prompt template',
  source_hash: 'source data',
  settings_hash: 'data settings',
  tool_version: 'version of rocit',
};

const FILE = 'manifest.json';

export function writeManifest(folder: string, manifest: Manifest): void {
  writeFileAtomic(join(folder, FILE), `${JSON.stringify(manifest, null, 2)}\n`);
}

/**
 * The manifest of a folder when it was made from the same things, or a text that says why not; null when there is no
 * folder.
 * @throws UserError when manifest.json does not parse
 */
export function freshManifest(folder: string, identity: Identity): Manifest | string | null {
  if (!existsSync(folder)) return null;
  const path = join(folder, FILE);
  if (!existsSync(path)) return `${folder}: no manifest`;
  const manifest = readJsonFile(path, 'the manifest of prepared data');
  if (!isManifest(manifest)) return `${folder}: manifest of another form`;
  const keys = Object.keys(NAMES) as (keyof Identity)[];
  const changed = keys.filter((key) => manifest.identity[key] !== identity[key]);
  if (changed.length === 0) return manifest;
  const shown = (key: keyof Identity, text: string | undefined) => (key.endsWith('_hash') ? short(text) : text);
  const parts = changed.map(
    (key) => `${NAMES[key]} ${shown(key, manifest.identity[key])} → ${shown(key, identity[key])}`,
  );
  return `${folder}: made with another ${parts.join(', ')}`;
}

function isManifest(value: unknown): value is Manifest {
  return isObject(value) && value.format_version === 2 && isObject(value.identity) && isObject(value.train);
}

function short(text: string | undefined): string {
  return (text ?? 'none').slice(0, 8);
}
