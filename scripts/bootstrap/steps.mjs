// Running a step at most once: keys over the sources, stamps written last, a lock, logs, progress lines on stderr.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. Everything generated stays inside it. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const build = join(root, 'build');

/** Something the person at the keyboard can mend; printed as one line, without a stack. */
export class SetupError extends Error {}

export function say(text) {
  process.stderr.write(`bootstrap: ${text}\n`);
}

/** A file written under a temporary name and renamed, so that an interrupted run leaves the old one or none. */
export function writeWhole(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}.tmp`, text);
  renameSync(`${path}.${process.pid}.tmp`, path);
}

/** All files below a folder (or the file itself), sorted; a path that does not exist has none. */
export function filesUnder(path) {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .flatMap((entry) => (entry.isDirectory() ? filesUnder(join(path, entry.name)) : [join(path, entry.name)]))
    .sort();
}

/** Hash over names and bytes of the files below `paths`, and over `values`. */
export function keyOf(paths, ...values) {
  const hash = createHash('sha256');
  for (const file of paths.flatMap(filesUnder)) {
    const bytes = readFileSync(file);
    hash.update(`${relative(root, file)}\0${bytes.length}\0`).update(bytes);
  }
  return hash.update(JSON.stringify(values)).digest('hex');
}

function stampPath(name) {
  return join(build, 'stamps', name);
}

/** True when the step ran with this key and all it makes is still there. */
export function isStamped(name, key, outputs) {
  const stamp = stampPath(name);
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === key && outputs.every((path) => existsSync(path));
}

export function writeStamp(name, key) {
  writeWhole(stampPath(name), key);
}

export function removeStamp(name) {
  rmSync(stampPath(name), { force: true });
}

/** Standard output of a short command, or null when it is missing or fails. */
export function outputOf(command, args) {
  const result = spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  return result.status === 0 ? result.stdout.trim() : null;
}

/** Runs a command with its output in build/logs/<log>.log; a failure shows the end of that log. */
export async function run(log, command, args, options = {}) {
  const path = join(build, 'logs', `${log}.log`);
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, 'w');
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', file, file], ...options });
  const status = await new Promise((done) => {
    child.on('error', (error) => done(error.message));
    child.on('close', (code, signal) => done(code ?? signal));
  });
  closeSync(file);
  if (status === 0) return;
  const tail = readFileSync(path, 'utf8').trimEnd().split('\n').slice(-40).join('\n');
  throw new SetupError(
    `${tail}\n${log}: expected ${command} to succeed, got ${status}; the whole log is ${relative(root, path)}.`,
  );
}

/** Runs an unfinished step and tells how long it took. */
export async function perform(step) {
  const start = performance.now();
  say(`${step.title} …`);
  await step.run();
  say(`${step.title}: ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Keeps a second bootstrap of the same checkout waiting; a lock whose owner is gone is taken over. */
export async function withLock(work) {
  const path = join(build, 'bootstrap.lock');
  mkdirSync(build, { recursive: true });
  for (let waited = 0; ; waited += 1) {
    try {
      writeFileSync(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = existsSync(path) ? Number(readFileSync(path, 'utf8')) : 0;
    if (owner > 0 && !isAlive(owner)) rmSync(path, { force: true });
    else if (waited % 150 === 0) say(`waiting for another bootstrap of this checkout (process ${owner}) …`);
    await new Promise((done) => setTimeout(done, 200));
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}
