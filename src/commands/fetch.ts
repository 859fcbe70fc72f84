// `rocit fetch <name>`: a base model rocit knows, RoleBench, or any repository of a hub.
import { join } from 'node:path';
import { SingleBar } from 'cli-progress';
import { baseModelFolder, fetchBaseModel } from '../checkpoint/base_models.ts';
import type { Progress } from '../checkpoint/fetched_folder.ts';
import { fetchRepo, type HubRepo, isRepoId } from '../checkpoint/hub.ts';
import { hubFromEnvironment } from '../checkpoint/hub_client.ts';
import { UserError } from '../core/errors.ts';
import { clearBeforeLine, log } from '../core/log.ts';

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
  const folder = options.output ?? (name === 'rolebench' ? join('data', 'rolebench') : baseModelFolder(name));
  const bar = startBar();
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

/** A bar on stderr for each piece of work; without a terminal a line every few seconds. */
function startBar(): { progress: Progress; stop(): void } {
  let current = '';
  let bar: SingleBar | null = null;
  const stop = () => {
    bar?.stop();
    bar = null;
    clearBeforeLine(() => {});
  };
  const progress: Progress = (what, done, total) => {
    if (what !== current) {
      stop();
      current = what;
      if (total === null) log.info(`${what} …`);
    }
    if (total === null) return;
    bar ??= createBar(what, total);
    bar.update(Math.round(done / 1e6));
  };
  return { progress, stop };
}

function createBar(what: string, totalBytes: number): SingleBar {
  const bar = new SingleBar({
    format: `${what} {bar} {percentage} % | {value} of {total} MB | {eta_formatted} left`,
    stream: process.stderr,
    hideCursor: null,
    noTTYOutput: !process.stderr.isTTY,
    notTTYSchedule: 5000,
    etaBuffer: 200,
  });
  bar.start(Math.max(1, Math.round(totalBytes / 1e6)), 0);
  if (process.stderr.isTTY) clearBeforeLine(() => process.stderr.write('\r\x1b[K'));
  return bar;
}
