// Downloads repositories of a hub (models, data sets) into folders: only the files wanted, each checked by its hash,
// resumed where a download stopped. API: https://huggingface.co/docs/hub/api
import { rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { syncPath } from '../core/files.ts';
import { isObject } from '../core/json.ts';
import { log } from '../core/log.ts';
import { checkSourceManifest, filesIn, type Progress, swapIn, writeSourceManifest } from './fetched_folder.ts';
import { getJson, type HubAccess } from './hub_client.ts';
import { fetchFile, type HubFile } from './hub_file.ts';

export interface HubRepo {
  kind: 'models' | 'datasets';
  /** `<org>/<name>`. */
  id: string;
  /** Branch, tag or commit. */
  revision: string;
}

/** Fetches a repository into `folder`; returns false when it was there already, whole. */
export async function fetchRepo(repo: HubRepo, folder: string, hub: HubAccess, progress: Progress): Promise<boolean> {
  const { kind, id, revision } = repo;
  const source = { hub: hub.endpoint, kind, id, revision };
  const state = await checkSourceManifest(folder, source);
  if (state === 'whole') return false;
  if (state === 'damaged') log.warn(`${folder}: files are missing or changed; fetching again`);
  if (state === 'other source') {
    throw new UserError(
      `${folder}: expected ${id} at ${revision}, got a folder fetched from elsewhere; remove it or choose another --output.`,
    );
  }
  const commit = await commitOf(repo, hub);
  const files = wantedFiles(repo, await listFiles(repo, commit, hub));
  const staging = join(dirname(folder), `.${basename(folder)}.part`);
  const total = files.reduce((sum, file) => sum + file.size, 0);
  let before = 0;
  for (const file of files) {
    const url = `${hub.endpoint}/${kind === 'datasets' ? 'datasets/' : ''}${id}/resolve/${commit}/${encodePath(file.path)}`;
    await fetchFile(hub, url, file, staging, (done) => progress(`downloading ${id}`, before + done, total));
    before += file.size;
  }
  for (const stale of filesIn(staging)) {
    if (!files.some(({ path }) => path === stale)) rmSync(join(staging, stale));
  }
  await writeSourceManifest(staging, source, { commit });
  for (const file of files) syncPath(join(staging, file.path));
  swapIn(staging, folder);
  return true;
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

/** The commit a branch or tag points to, so that all files are of one state. */
async function commitOf({ kind, id, revision }: HubRepo, hub: HubAccess): Promise<string> {
  const what = `the ${kind === 'models' ? 'model' : 'data set'} ${id} at revision ${revision}`;
  const url = `${hub.endpoint}/api/${kind}/${id}/revision/${encodeURIComponent(revision)}`;
  const { body } = await getJson(hub, url, what);
  if (isObject(body) && typeof body.sha === 'string') return body.sha;
  throw new UserError(`hub: expected ${what} with its commit, got another answer; check HF_ENDPOINT.`);
}

/** All files of a commit, over as many pages as there are. */
async function listFiles({ kind, id }: HubRepo, commit: string, hub: HubAccess): Promise<HubFile[]> {
  const files: HubFile[] = [];
  let url: string | null = `${hub.endpoint}/api/${kind}/${id}/tree/${commit}?recursive=true`;
  while (url !== null) {
    const page: { body: unknown; headers: Headers } = await getJson(hub, url, `the files of ${id}`);
    if (!Array.isArray(page.body))
      throw new UserError(`hub: expected a list of files of ${id}, got none; check HF_ENDPOINT.`);
    files.push(...page.body.flatMap((entry) => readEntry(id, entry)));
    url = /<([^>]+)>;\s*rel="next"/.exec(page.headers.get('link') ?? '')?.[1] ?? null;
  }
  return files;
}

function readEntry(id: string, entry: unknown): HubFile[] {
  if (!isObject(entry) || entry.type !== 'file') return [];
  const { path, size, oid, lfs } = entry;
  const sha256 = isObject(lfs) && typeof lfs.oid === 'string' ? lfs.oid.replace(/^sha256:/, '') : null;
  if (typeof path !== 'string' || typeof size !== 'number' || typeof oid !== 'string') {
    throw new UserError(
      `hub: expected path, size and oid of each file of ${id}, got ${JSON.stringify(entry)}; check HF_ENDPOINT.`,
    );
  }
  if (/^[/\\]|\\|(^|\/)\.\.(\/|$)/.test(path)) {
    throw new UserError(`hub: expected paths inside the repository ${id}, got ${path}; do not use this repository.`);
  }
  return [{ path, size, hash: sha256 === null ? { git_sha1: oid } : { sha256 } }];
}

/** The files rocit reads: of a model the weights and what describes them, of a data set the rows and texts. */
export function wantedFiles({ kind, id }: HubRepo, files: readonly HubFile[]): HubFile[] {
  if (kind === 'datasets') return files.filter(({ path }) => /(^|\/)[^.][^/]*(\.(jsonl?|txt|md)|LICENSE)$/.test(path));
  const top = files.filter(({ path }) => !path.includes('/'));
  const weights = chooseWeights(top);
  if (weights.length === 0) {
    const others = top.filter(({ path }) => /\.(bin|pth?|gguf|h5|msgpack|onnx)$/.test(path)).map(({ path }) => path);
    throw new UserError(
      `hub: expected safetensors weights in ${id}, got ${others.join(', ') || 'no weights'}; choose a repository or --revision that has them.`,
    );
  }
  const papers = top.filter(({ path }) => /\.(json|jinja)$|^tokenizer\.model$|^(README|LICENSE|NOTICE)/.test(path));
  return [...papers, ...weights];
}

/** One copy of the weights: the single file, or the shards, or whatever safetensors there are. */
function chooseWeights(top: readonly HubFile[]): HubFile[] {
  const rules = [/^model\.safetensors$/, /^model-\d+-of-\d+\.safetensors$/, /\.safetensors$/];
  const found = rules.map((rule) => top.filter(({ path }) => rule.test(path)));
  return found.find((files) => files.length > 0) ?? [];
}

/** Whether a name is that of a repository: `<org>/<name>`. */
export function isRepoId(name: string): boolean {
  return /^\w[\w.-]*\/\w[\w.-]*$/.test(name);
}
