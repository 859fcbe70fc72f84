// npm run kernels:bench [-- <name> …]: needs a compiler only. Builds the stand-alone benches, runs them (those whose name
// holds one of the words) and prints one table on stdout. A bench checks its values first and fails where one is wrong.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { compilerProblem } from './bootstrap/machine.mjs';
import { buildKernels, cmakeProblem } from './bootstrap/native.mjs';
import { build, SetupError, say } from './bootstrap/steps.mjs';
import { runAsProgram } from './bootstrap.mjs';

const header = ['op', 'dtype', 'shape', 'ms', 'rate', 'unit', 'baseline', 'rate', 'ratio'];
const isNumber = (text) => /^[\d.]+$/.test(text);

/** Rows of one program, each a line `bench<tab>op<tab>…`; other lines are passed on. */
function rowsOf(path) {
  const { stdout, status, signal } = spawnSync(path, [], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = stdout.split('\n').filter((line) => line !== '');
  for (const line of lines.filter((text) => !text.startsWith('bench\t'))) process.stderr.write(`${line}\n`);
  if (status !== 0) throw new SetupError(`${path}: expected right values and exit code 0, got ${signal ?? status}.`);
  return lines.filter((text) => text.startsWith('bench\t')).map((line) => line.split('\t').slice(1));
}

function printTable(rows) {
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i].length)));
  for (const row of [header, ...rows]) {
    const cells = row.map((text, i) => (isNumber(text) ? text.padStart(widths[i]) : text.padEnd(widths[i])));
    process.stdout.write(`${cells.join('  ').trimEnd()}\n`);
  }
}

await runAsProgram(async () => {
  const problem = compilerProblem() ?? cmakeProblem();
  if (problem !== null) throw new SetupError(problem);
  const folder = join(build, 'kernels_bench');
  await buildKernels(folder, {}, ['rocit_benches']);
  const words = process.argv.slice(2);
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('_bench') && (words.length === 0 || words.some((word) => name.includes(word))))
    .sort();
  if (names.length === 0) throw new SetupError(`expected the name of a bench, got ${words.join(' ')}.`);
  const path = process.env.ROCIT_SIMD ? `, ROCIT_SIMD=${process.env.ROCIT_SIMD}` : '';
  const threads = process.env.ROCIT_THREADS ?? availableParallelism();
  process.stdout.write(`${cpus()[0]?.model ?? 'unknown processor'}, ${threads} threads${path}\n`);
  const rows = names.flatMap((name) => {
    say(`${name} …`);
    return rowsOf(join(folder, name));
  });
  printTable(rows);
});
