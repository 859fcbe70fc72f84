// What a machine without a GPU can still check of the CUDA side: nvcc compiles every .cu file for each architecture,
// warnings as errors. One file for one architecture is one test.
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, relative } from 'node:path';
import { compiler } from './bootstrap/machine.mjs';
import { obtainNvcc } from './bootstrap/nvcc.mjs';
import { build, root, say } from './bootstrap/steps.mjs';

const kernels = join(root, 'kernels');
const architectures = ['80', '90a'];
const hostWarnings = ['-Wall', '-Wextra', '-Werror'];

/** Runs a command; null, or what it printed when it failed. */
async function failureOf(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part) => (printed += part));
  const status = await new Promise((done) => {
    child.on('error', (error) => done(error.message));
    child.on('close', (code, signal) => done(code ?? signal));
  });
  return status === 0 ? null : `${printed}expected success, got ${status}`;
}

/** Runs the jobs { name, command, args }, as many at a time as there are cores, and counts them. */
async function runJobs(jobs, counts) {
  const waiting = [...jobs];
  const work = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) {
      const failure = await failureOf(job.command, job.args);
      counts[failure === null ? 'passed' : 'failed'] += 1;
      if (failure !== null) process.stdout.write(`FAILED ${job.name}: ${failure}\n`);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}

async function runTimed(title, jobs, counts) {
  say(`${title} …`);
  const start = performance.now();
  await runJobs(jobs, counts);
  say(`${title}: ${jobs.length} compiled in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

function skip(name, reason, counts) {
  counts.skipped += 1;
  process.stdout.write(`skipped ${name}: ${reason}\n`);
}

function pathsIn(folder, ending) {
  const names = readdirSync(folder).filter((name) => name.endsWith(ending));
  return names.map((name) => join(folder, name));
}

/** Whether host code calls the runtime itself: the emulator leaves those lines out. */
function callsRuntime(path) {
  return !path.endsWith('_emulated.cc') && /\bcuda[A-Z]/.test(readFileSync(path, 'utf8'));
}

/** Compiles the kernels and their tests for every architecture, and what calls the runtime, adding to `counts`. */
export async function compileCuda(counts) {
  const { path, release, problem } = await obtainNvcc();
  if (path === null) return skip('compiling CUDA', problem, counts);
  const objects = join(build, 'cuda_check');
  mkdirSync(objects, { recursive: true });
  const includes = ['include', 'cuda', 'tests'].flatMap((name) => ['-I', join(kernels, name)]);
  const files = ['cuda', 'tests'].flatMap((name) => pathsIn(join(kernels, name), '.cu'));
  const jobs = architectures.flatMap((architecture) =>
    files.map((file) => ({
      name: `${relative(kernels, file)} for sm_${architecture}`,
      command: path,
      args: [
        ...['-c', file, '-o', join(objects, `${basename(file)}.${architecture}.o`), ...includes],
        ...['-std=c++17', '-O3', '-gencode', `arch=compute_${architecture},code=sm_${architecture}`],
        ...['-ccbin', compiler(), '-Werror', 'all-warnings', '-Xcompiler', hostWarnings.join(',')],
      ],
    })),
  );
  const hosts = ['tests', 'bench'].flatMap((name) => pathsIn(join(kernels, name), '.cc'));
  for (const file of hosts.filter(callsRuntime)) {
    const object = join(objects, `${basename(file)}.o`);
    const warnings = [...hostWarnings, '-Wno-psabi'].join(',');
    const args = ['-c', file, '-o', object, ...includes, '-std=c++17', '-ccbin', compiler(), '-Xcompiler', warnings];
    jobs.push({ name: relative(kernels, file), command: path, args });
  }
  await runTimed(`CUDA with nvcc ${release}`, jobs, counts);
}
