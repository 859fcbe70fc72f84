// `rocit fetch <name>`: a base model rocit knows, RoleBench, or any repository of a hub.

import { baseModelFolder, fetchBaseModel } from '../checkpoint/base_models.ts';
import { log } from '../core/log.ts';

export interface FetchOptions {
  /** The folder to write; by default it follows from the name. */
  output?: string;
  /** Branch, tag or commit of a hub repository. */
  revision?: string;
}

/** Fetches and prints the folder on stdout; all else goes to stderr. */
export async function fetchCommand(name: string, options: FetchOptions): Promise<void> {
  const folder = options.output ?? baseModelFolder(name);
  const isNew = await fetchBaseModel(name, folder, (what, done, total) => log.info(`${what} ${done} ${total}`));
  log.info(isNew ? `${name} is in ${folder}` : `${name} is already in ${folder}`);
  process.stdout.write(`${folder}\n`);
}
