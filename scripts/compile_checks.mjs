// What a machine without a GPU can still check of the CUDA side: nvcc compiles every .cu file for each architecture, and
// g++ every door with its GPU half, warnings as errors. One file for one architecture is one test.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, relative } from 'node:path';
import { compiler } from './bootstrap/machine.mjs';
import { obtainNvcc } from './bootstrap/nvcc.mjs';
import { build, root, say } from './bootstrap/steps.mjs';
import { chooseFlavour, locateTensorflow } from './bootstrap/tensorflow.mjs';

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

/** Compiles kernels/tensorflow/*.cc as a GPU build does, against the headers at hand, adding to `counts`. */
export async function compileDoors(counts) {
  const place = locateTensorflow(chooseFlavour(new Set()));
  const headers = join(place.folder, 'include');
  if (!existsSync(headers)) return skip('compiling the GPU doors', 'TensorFlow is not there; npm run build', counts);
  const folder = join(build, 'door_check');
  mkdirSync(folder, { recursive: true });
  // The headers of TensorFlow are most of the work: they are compiled once.
  const precompiled = join(folder, 'door.h');
  writeFileSync(precompiled, `#include "${join(kernels, 'tensorflow/door.h')}"\n`);
  const flags = [
    ...['-std=gnu++17', '-fPIC', '-O1', '-DROCIT_CUDA=1', '-D_GLIBCXX_USE_CXX11_ABI=1', '-DEIGEN_MAX_ALIGN_BYTES=64'],
    ...['-DNDEBUG', '-Wall', '-Wno-psabi', '-Werror', '-isystem', headers, '-I', join(kernels, 'include')],
    ...['-isystem', join(root, 'node_modules/node-api-headers/include'), '-DNAPI_VERSION=8'],
  ];
  const header = { name: 'door.h', command: compiler(), args: [...flags, '-x', 'c++-header', precompiled] };
  const failure = await failureOf(header.command, header.args);
  if (failure !== null) process.stdout.write(`door.h cannot be precompiled: ${failure}\n`);
  const jobs = pathsIn(join(kernels, 'tensorflow'), '.cc').map((file) => ({
    name: `${basename(file)} with ROCIT_CUDA`,
    command: compiler(),
    args: [...flags, '-include', precompiled, '-fsyntax-only', file],
  }));
  await runTimed('doors with their GPU half', jobs, counts);
}
