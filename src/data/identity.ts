// What a folder of shards is made from, as hashes: the files of the source, the tokenizer, the template, the settings.
import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readJsonFile, sha256, sha256File } from '../core/files.ts';
import { isObject } from '../core/json.ts';
import type { Identity } from './manifest.ts';
import type { DataSettings, PrepareOptions } from './prepare_options.ts';
import type { DataSource } from './source.ts';
import type { PromptTemplate } from './templates.ts';
import type { Tokenizer } from './tokenizer.ts';

/** The settings that change the samples, as text; paths are left out, their contents are hashed. */
export function settingsText({ data, seed }: PrepareOptions): string {
  const { source, language, generalization, kinds, train_split, eval_split, eval_fraction, answers, template } = data;
  const { max_seq_length, overflow, on_bad_row, eval_sampling } = data;
  const held_out = eval_fraction === null ? null : { eval_fraction, eval_sampling, seed };
  return JSON.stringify({
    ...{ source, language, generalization, kinds, train_split, eval_split, held_out, answers, template },
    ...{ max_seq_length, overflow, on_bad_row },
  });
}

/** Hashes all that the shards depend on, and adds up the bytes of the splits. */
export async function identify(
  source: DataSource,
  { train_split, eval_split }: DataSettings,
  tokenizer: Tokenizer,
  template: PromptTemplate,
  settings: string,
): Promise<{ identity: Identity; bytes: number }> {
  const files = [...source.files(train_split), ...(eval_split === null ? [] : source.files(eval_split))];
  const hashes: string[] = [];
  for (const path of [...files, ...source.extraFiles]) hashes.push(await sha256File(path));
  const bytes = files.reduce((sum, path) => sum + statSync(path).size, 0);
  const identity = {
    tokenizer_hash: tokenizer.hash,
    tokenizer_library: tokenizer.library,
    template_hash: sha256(JSON.stringify(template)),
    source_hash: sha256(hashes.join('\n')),
    settings_hash: sha256(settings),
    tool_version: toolVersion(),
  };
  return { identity, bytes };
}

function toolVersion(): string {
  const manifest = readJsonFile(fileURLToPath(new URL('../../package.json', import.meta.url)), 'package.json');
  return isObject(manifest) && typeof manifest.version === 'string' ? manifest.version : 'unknown';
}
