// Which adapter a command uses, and the prompt template that belongs to it.
import { existsSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { log } from '../core/log.ts';
import { type PromptTemplate, readPromptTemplate } from '../data/templates.ts';

const CONFIG = 'adapter_config.json';
const TEMPLATE = 'prompt_template.json';

/**
 * The adapter's folder: a PEFT folder as it is, of a run folder its best checkpoint, else its last; null for `none` and
 * null.
 * @throws UserError when there is no adapter
 */
export function adapterFolder(name: string | null): string | null {
  if (name === null || name === 'none') return null;
  if (existsSync(join(name, CONFIG))) return name;
  for (const link of ['best', 'last']) {
    const folder = join(name, link);
    if (!existsSync(join(folder, CONFIG))) continue;
    log.info(`${name}: a run folder, its ${link} checkpoint is used (${basename(realpathSync(folder))}).`);
    return folder;
  }
  const got = existsSync(name) ? `a folder without ${CONFIG}, best and last` : 'no such folder';
  throw new UserError(`${name}: expected an adapter or the folder of a run, got ${got}; check the path.`);
}

/** The template an adapter was trained with, or null where its folder holds none, as those of other tools. */
export function adapterTemplate(folder: string | null): PromptTemplate | null {
  if (folder === null || !existsSync(join(folder, TEMPLATE))) return null;
  return readPromptTemplate(join(folder, TEMPLATE));
}

/** How two templates differ, in a few words, or null when they are the same. */
export function templateDifference(a: PromptTemplate, b: PromptTemplate): string | null {
  if (JSON.stringify(a) === JSON.stringify(b)) return null;
  if (a.name !== b.name) return `${a.name} and ${b.name}`;
  if (a.language !== b.language) return `${a.name} in ${a.language} and in ${b.language}`;
  return `two versions of ${a.name}`;
}
