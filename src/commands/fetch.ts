// `rocit fetch <name>`: a base model rocit knows, RoleBench, or any repository of a hub.
import { join } from 'node:path';
import { baseModelFolder, fetchBaseModel } from '../checkpoint/base_models.ts';
import type { Progress } from '../checkpoint/fetched_folder.ts';
import { fetchRepo, type HubRepo, isRepoId } from '../checkpoint/hub.ts';
import { hubFromEnvironment } from '../checkpoint/hub_client.ts';
import { UserError } from '../core/errors.ts';
import { expandHome } from '../core/files.ts';
import { log } from '../core/log.ts';
import { type Bar, startBar } from './progress_bar.ts';

export interface FetchOptions {
  /** The folder to write; by default it follows from the name. */
  output?: string;
  /** Branch, tag or commit of a hub repository. */
  revision?: string;
}

/** Fetches and prints the folder on stdout; all else goes to stderr. */
export async function fetchCommand(name: string, options: FetchOptions): Promise<void> {
  const { revision = 'main' } = options;
  const repo = repoOf(name, revision);
  if (repo === null && options.revision !== undefined) {
    throw new UserError(`fetch: expected no --revision for ${name}, got ${revision}; its version is fixed.`);
  }
  const usual = name === 'rolebench' ? join('data', 'rolebench') : baseModelFolder(name);
  const folder = expandHome(options.output ?? usual);
  const bar = showProgress();
  try {
    const isNew = repo
      ? await fetchRepo(repo, folder, hubFromEnvironment(), bar.progress)
      : await fetchBaseModel(name, folder, bar.progress);
    bar.stop();
    log.info(isNew ? `${name} is in ${folder}` : `${name} is already in ${folder}`);
  } finally {
    bar.stop();
  }
  process.stdout.write(`${folder}\n`);
}

function repoOf(name: string, revision: string): HubRepo | null {
  if (name === 'rolebench') return { kind: 'datasets', id: 'ZenMoore/RoleBench', revision };
  return isRepoId(name) ? { kind: 'models', id: name, revision } : null;
}

/** A bar for each piece of work, with ETA; without a terminal a line for every tenth of it. */
function showProgress(): { progress: Progress; stop(): void } {
  let current = '';
  let bar: Bar | null = null;
  let tenths = 0;
  const stop = () => {
    bar?.stop();
    bar = null;
  };
  const progress: Progress = (what, done, total) => {
    if (what !== current) {
      stop();
      [current, tenths] = [what, 0];
      log.info(`${what} …`);
    }
    if (total === null) return;
    const share = total === 0 ? 1 : done / total;
    const text = `${megabytes(done)} of ${megabytes(total)} MB`;
    bar ??= startBar(what);
    bar.update(share, text);
    if (process.stderr.isTTY || share * 10 < tenths + 1) return;
    tenths = Math.floor(share * 10);
    log.info(`${what}: ${tenths}0 %, ${text}`);
  };
  return { progress, stop };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
