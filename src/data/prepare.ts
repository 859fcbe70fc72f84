// The data pipeline of a run: opens its tokenised splits, and makes them first where they are missing or stale.

import { existsSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { sha256, writeFolderAtomic } from '../core/files.ts';
import { log } from '../core/log.ts';
import { isRunning } from '../core/process.ts';
import { identify, settingsText } from './identity.ts';
import { freshManifest, type Manifest, writeManifest } from './manifest.ts';
import type { DataSettings, PrepareOptions } from './prepare_options.ts';
import { openSplit, type PreparedSplit } from './prepared.ts';
import { createPromptEncoder } from './prompt.ts';
import { checkSingleFile, openSource } from './source.ts';
import { type PromptTemplate, promptTemplate } from './templates.ts';
import { loadTokenizer, type Tokenizer } from './tokenizer.ts';
import { type Job, writeSplits } from './write_splits.ts';

export interface PreparedData {
  folder: string;
  /** Whether the shards were there already. */
  isFresh: boolean;
  tokenizer: Tokenizer;
  template: PromptTemplate;
  train: PreparedSplit;
  eval: PreparedSplit | null;
}

/**
 * Opens the tokenised splits of a run, making them first unless shards from the same tokenizer, template, source and
 * settings are there. Shards of another make are made again, which is said.
 * @throws UserError for bad rows, missing files, samples that are too long with overflow `error`, and a split in which
 *   nothing is left
 */
export async function prepare(options: PrepareOptions): Promise<PreparedData> {
  const { data, tokenizer_folder, cache_dir = join('checkpoints', '.prepared') } = options;
  const tokenizer = await loadTokenizer(tokenizer_folder);
  const template = promptTemplate(data.template, data.language, tokenizer.chatTemplate, data.template_date);
  checkSingleFile(data, data.eval_split);
  const source = openSource(data, template);
  const settings = settingsText(options);
  const folder = join(cache_dir, sha256(JSON.stringify([data.path, tokenizer_folder, settings])).slice(0, 16));
  const { identity, bytes } = await identify(source, data, tokenizer, template, settings);
  const found = freshManifest(folder, identity);
  if (typeof found === 'string') log.info(`${found}; preparing again.`);
  const isFresh = isFreshManifest(found);
  const job: Job = { options, source, tokenizer, template, folder, identity, bytes };
  const manifest = isFresh ? found : await makeShards(job);
  sayWarnings(manifest, data);
  if (createPromptEncoder(tokenizer, template).promptDiffers) {
    log.once(
      `prompt ${tokenizer_folder}`,
      `${tokenizer_folder}: the chat template puts other text before an answer in generation than in a conversation; ` +
        'training follows the conversation, as transformers renders it.',
    );
  }
  return {
    folder,
    isFresh,
    tokenizer,
    template,
    train: openSplit(folder, manifest.train),
    eval: manifest.eval === null ? null : openSplit(folder, manifest.eval),
  };
}

/** Another run made the same shards in the meantime, and may be reading them. */
const ALREADY_MADE = new Error('the shards are there already');

function isFreshManifest(found: ReturnType<typeof freshManifest>): found is Manifest {
  return found !== null && typeof found !== 'string';
}

async function makeShards(job: Job): Promise<Manifest> {
  const { folder, identity } = job;
  removeAbandoned(folder);
  try {
    return await writeFolderAtomic(folder, async (temporary) => {
      const manifest = await writeSplits(job, temporary);
      writeManifest(temporary, manifest);
      if (isFreshManifest(freshManifest(folder, identity))) throw ALREADY_MADE;
      rmSync(folder, { recursive: true, force: true });
      return manifest;
    });
  } catch (error) {
    const theirs = error === ALREADY_MADE || isOccupied(error) ? freshManifest(folder, identity) : null;
    if (!isFreshManifest(theirs)) throw error;
    return theirs;
  }
}

function sayWarnings(
  { roles, shared_questions, ignored_keys }: Manifest,
  { path, language, eval_split }: DataSettings,
): void {
  if (roles.without_description > 0) {
    log.once(
      `descriptions ${path} ${language}`,
      `${join(path, `profiles-${language}`, 'desc.json')}: no description for ${roles.without_description} of ` +
        `${roles.all} roles; their prompt has the name only.`,
    );
  }
  if (ignored_keys.length > 0) {
    log.once(`keys ${path}`, `${path}: keys of the rows that are not read: ${ignored_keys.join(', ')}.`);
  }
  if (shared_questions > 0) {
    log.once(
      `shared ${path} ${eval_split}`,
      `data: ${shared_questions} questions of one role stand in the training and in the held-out split, as released.`,
    );
  }
}

function isOccupied(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOTEMPTY' || code === 'EEXIST';
}

/** Removes what a killed process left of the same folder. */
function removeAbandoned(folder: string): void {
  const parent = dirname(folder);
  if (!existsSync(parent)) return;
  const mine = new RegExp(`^\\.${folder.slice(parent.length + 1)}\\.tmp-(\\d+)$`);
  for (const name of readdirSync(parent)) {
    const pid = mine.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) rmSync(join(parent, name), { recursive: true, force: true });
  }
}
