// npm run test:native: needs a compiler only. Builds the stand-alone kernel tests twice (as shipped; with address and
// undefined sanitizers) and runs them, those of the CUDA kernels in the emulator, there once more with the thread
// sanitizer; then compiles the CUDA side for GPUs, runs the tests of the engine through the doors of the GPU on the emulator
// (after npm run build), and scripts/gpu_check.sh. npm run kernels:test (--quick) leaves out the sanitizers and what comes
// after them. Every program prints `<name>: N passed, N failed, N skipped`.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compiler, compilerProblem } from './bootstrap/machine.mjs';
import { buildKernels, cmakeProblem } from './bootstrap/native.mjs';
import { build, root, SetupError, say } from './bootstrap/steps.mjs';
import { runAsProgram } from './bootstrap.mjs';
import { compileCuda } from './compile_checks.mjs';
import { testDoors } from './door_tests.mjs';
import { removeReport, summaryLine, writeReport } from './reports.mjs';

const part = 'test_native';
const countLine = /^\S+: (\d+) passed, (\d+) failed, (\d+) skipped$/m;

function runProgram(path) {
  const { stdout, status, signal } = spawnSync(path, [], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 64 * 1024 * 1024,
  });
  process.stdout.write(stdout ?? '');
  const match = countLine.exec(stdout ?? '');
  const [passed, failed, skipped] = match === null ? [0, 0, 0] : match.slice(1).map(Number);
  const isBroken = match === null || (status !== 0 && failed === 0);
  if (isBroken) process.stdout.write(`${path}: expected counts and exit code 0, got ${signal ?? status}.\n`);
  return { passed, failed: failed + (isBroken ? 1 : 0), skipped };
}

/** Builds and runs the tests in one mode, adding to `counts`. */
async function runMode(folder, settings, counts, target = 'rocit_tests') {
  await buildKernels(folder, { ROCIT_EMULATE_CUDA: 'ON', ...settings }, [target]);
  for (const name of readdirSync(folder).filter((entry) => entry.endsWith('_test'))) {
    const one = runProgram(join(folder, name));
    for (const key of Object.keys(counts)) counts[key] += one[key];
  }
}

/** Null where a program with the thread sanitizer runs: it needs its library, and memory laid out as it knows it. */
function threadSanitizerProblem() {
  const probe = join(build, 'thread_sanitizer');
  mkdirSync(build, { recursive: true });
  writeFileSync(`${probe}.cc`, 'int main() { return 0; }\n');
  for (const [program, ...args] of [[compiler(), '-fsanitize=thread', `${probe}.cc`, '-o', probe], [probe]]) {
    const { status, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    if (status !== 0) return (stderr ?? '').trim().split('\n')[0] || `exit code ${status}`;
  }
  return null;
}

/** Races between CUDA threads: the emulator shows each of them to the thread sanitizer. */
async function findRaces(counts) {
  const problem = threadSanitizerProblem();
  if (problem !== null) {
    counts.skipped += 1;
    process.stdout.write(`skipped races of CUDA threads: no thread sanitizer here: ${problem}\n`);
    return;
  }
  say('CUDA kernels with the thread sanitizer …');
  await runMode(join(build, 'kernels_races'), { ROCIT_FIND_RACES: 'ON' }, counts, 'rocit_cuda_tests');
}

/** scripts/gpu_check.sh by the emulator: builds without CMake, runs a test and the benches at tiny shapes; one test. */
function emulateGpuCheck(counts) {
  const results = join(build, 'gpu_check', 'emulated.json');
  rmSync(results, { force: true });
  const options = ['--emulate', '--only', 'cuda_bench', '--only', 'rms_norm', '--json', results];
  const { status } = spawnSync('bash', [join(root, 'scripts/gpu_check.sh'), ...options], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, CXX: compiler() },
  });
  const programs = readdirSync(join(root, 'kernels/bench')).filter((name) => name.endsWith('_cuda_bench.cc'));
  const isRight = status === 0 && hasAllResults(programs, JSON.parse(readFileSync(results, 'utf8')));
  counts[isRight ? 'passed' : 'failed'] += 1;
  process.stdout.write(
    `gpu_check.sh --emulate: ${isRight ? 'passed' : `expected exit code 0 and times of ${programs.join(', ')}, got ${status}`}\n`,
  );
}

/** Whether every bench has a row with its operation, the step its own table, and the test its counts. */
function hasAllResults(programs, { benches, steps, shares, tests }) {
  const operations = programs.map((name) => name.replace('_cuda_bench.cc', '')).filter((name) => name !== 'llama_step');
  const isTimed = operations.every((name) => benches.some(({ op, ms }) => op === name && ms > 0));
  return isTimed && steps.length > 0 && shares.length > 0 && tests.passed > 0 && tests.failed === 0;
}

removeReport(part);
await runAsProgram(async () => {
  const problem = compilerProblem() ?? cmakeProblem();
  if (problem !== null) throw new SetupError(problem);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  say(`kernel tests of ${join(root, 'kernels')} …`);
  await runMode(join(build, 'kernels_test'), {}, counts);
  if (!process.argv.includes('--quick')) {
    say('the same with address and undefined sanitizers …');
    await runMode(join(build, 'kernels_sanitize'), { ROCIT_SANITIZE: 'ON' }, counts);
    await findRaces(counts);
    await compileCuda(counts);
    await testDoors(join(build, 'kernels_test'), counts);
    say('scripts/gpu_check.sh by the emulator …');
    emulateGpuCheck(counts);
  }
  writeReport(part, counts);
  process.stdout.write(`${summaryLine(counts)}\n`);
  process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1;
});
