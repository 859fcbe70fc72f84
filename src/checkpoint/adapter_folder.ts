// Which adapter a name means: a PEFT folder, or a run folder with its checkpoints.
import { existsSync, realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { expandHome } from '../core/files.ts';
import { log } from '../core/log.ts';

const CONFIG = 'adapter_config.json';

/**
 * The adapter's folder: a PEFT folder as it is, of a run folder its best checkpoint, else its last; null for `none` and
 * null.
 * @throws UserError when there is no adapter
 */
export function adapterFolder(given: string | null): string | null {
  if (given === null || given === 'none') return null;
  const name = expandHome(given);
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
