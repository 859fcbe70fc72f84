// One file of a hub: downloaded to a `.part` file that a later run goes on with, checked by its hash, then renamed.
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, existsSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { chunksOf, get, type HubAccess, Transient, withRetries } from './hub_client.ts';
import { writeAll } from './safetensors.ts';

export interface HubFile {
  /** Path inside the repository. */
  path: string;
  size: number;
  /** SHA-256 of a large (LFS) file, git's blob hash of any other. */
  hash: { sha256: string } | { git_sha1: string };
}

/** Puts a file under `folder`, unless it is there already, right; `report` gets the bytes that are there. */
export async function fetchFile(
  hub: HubAccess,
  url: string,
  file: HubFile,
  folder: string,
  report: (done: number) => void,
): Promise<void> {
  const path = join(folder, file.path);
  const part = `${path}.part`;
  if (sizeOf(path) === file.size && (await isRight(path, file))) return report(file.size);
  mkdirSync(dirname(path), { recursive: true });
  const wasResumed = sizeOf(part) > 0;
  await download(hub, url, file, part, report);
  if (!(await isRight(part, file)) && wasResumed) {
    rmSync(part);
    await download(hub, url, file, part, report);
  }
  if (!(await isRight(part, file))) {
    rmSync(part);
    throw new UserError(
      `${file.path}: expected ${expectedHash(file)} as the hub lists it, got other bytes; fetch again, or check HF_ENDPOINT.`,
    );
  }
  renameSync(part, path);
}

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

async function download(
  hub: HubAccess,
  url: string,
  file: HubFile,
  part: string,
  report: (done: number) => void,
): Promise<void> {
  let last = sizeOf(part);
  const advanced = () => {
    const size = sizeOf(part);
    const isFurther = size > last;
    last = size;
    return isFurther;
  };
  await withRetries(hub, () => downloadRest(hub, url, file, part, report), advanced);
}

/** Appends what is missing; a server that cannot resume sends all, then the file starts anew. */
async function downloadRest(
  hub: HubAccess,
  url: string,
  file: HubFile,
  part: string,
  report: (done: number) => void,
): Promise<void> {
  if (sizeOf(part) > file.size) rmSync(part);
  const have = sizeOf(part);
  report(have);
  if (have === file.size && existsSync(part)) return;
  const response = await get(hub, url, file.path, have);
  if (response.status === 416) {
    rmSync(part, { force: true });
    throw new Transient(`${file.path}: the server cannot resume at byte ${have}`);
  }
  const isResuming = response.status === 206 && response.headers.get('content-range')?.startsWith(`bytes ${have}-`);
  const fd = openSync(part, isResuming ? 'a' : 'w');
  let done = isResuming ? have : 0;
  try {
    for await (const chunk of chunksOf(response, file.path)) {
      writeAll(fd, chunk, part);
      done += chunk.length;
      report(done);
    }
  } finally {
    closeSync(fd);
  }
  if (done < file.size) throw new Transient(`${file.path}: cut off at ${done} of ${file.size} bytes`);
}

async function isRight(path: string, file: HubFile): Promise<boolean> {
  if (!existsSync(path)) return false;
  const isLfs = 'sha256' in file.hash;
  const hash = createHash(isLfs ? 'sha256' : 'sha1');
  if (!isLfs) hash.update(`blob ${statSync(path).size}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex') === ('sha256' in file.hash ? file.hash.sha256 : file.hash.git_sha1);
}

function expectedHash(file: HubFile): string {
  return 'sha256' in file.hash ? `SHA-256 ${file.hash.sha256}` : `git hash ${file.hash.git_sha1}`;
}
