// Does grouping roles into a step hurt learning? Trains the same number of samples with several roles_per_step and seeds,
// evaluates all runs on the same held-out questions, and prints a Markdown table: held-out loss at equal samples and at
// equal training time. Ctrl-C saves the run at work; the same command goes on where it stopped.
//   node scripts/study_roles_per_step.mjs <RoleBench folder> [flags] [key=value of the config …]
// Needs the compiled dist/. See --help.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const HELP = `node scripts/study_roles_per_step.mjs <RoleBench folder> [flags] [key=value …]

Reads the English role-specific rows; descriptions are used where the folder has profiles-eng/desc.json.

  --config <file>        settings of the runs (configs/rolebench_smollm2.yaml)
  --output <folder>      runs and data (checkpoints/study_roles_per_step)
  --rows <split>         file of the rows (test)
  --roles <list>         roles_per_step to compare (4,16,64,null)
  --seeds <list>         one run a seed and roles_per_step (0,1)
  --samples <n>          training samples of a run (512)
  --samples-per-step <n> (64)
  --eval-every <n>       steps between evaluations (2)
  --held-out <n>         questions held out of each role, the same in all runs (2)
  --minutes <n>          stop after that long; go on later with the same command
  --table                print the table of what is there, run nothing
`;

const OPTIONS = {
  config: { type: 'string', default: 'configs/rolebench_smollm2.yaml' },
  output: { type: 'string', default: 'checkpoints/study_roles_per_step' },
  rows: { type: 'string', default: 'test' },
  roles: { type: 'string', default: '4,16,64,null' },
  seeds: { type: 'string', default: '0,1' },
  samples: { type: 'string', default: '512' },
  'samples-per-step': { type: 'string', default: '64' },
  'eval-every': { type: 'string', default: '2' },
  'held-out': { type: 'string', default: '2' },
  minutes: { type: 'string' },
  table: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};
const ROWS = join('rolebench-eng', 'instruction-generalization', 'role_specific');
const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

const { values: flags, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
const [source, ...overrides] = positionals;
if (flags.help || source === undefined) {
  process.stderr.write(HELP);
  process.exit(flags.help ? 0 : 2);
}
const steps = Math.ceil(Number(flags.samples) / Number(flags['samples-per-step']));
// Seeds outermost: a study that was stopped has compared something.
const runs = flags.seeds
  .split(',')
  .flatMap((seed) =>
    flags.roles.split(',').map((roles) => ({ roles, seed, folder: join(flags.output, `roles_${roles}_seed_${seed}`) })),
  );

/** Writes train.jsonl and held_out.jsonl: of each role the questions whose hashes are lowest, whole, are held out. */
function splitRows(data) {
  const lines = readFileSync(join(source, ROWS, `${flags.rows}.jsonl`), 'utf8')
    .trimEnd()
    .split('\n');
  const rows = lines.map((line) => ({ line, ...JSON.parse(line) }));
  const hash = ({ role, question }) =>
    createHash('sha256')
      .update(JSON.stringify([role, question]))
      .digest('hex');
  const byRole = new Map();
  for (const row of rows) byRole.set(row.role, (byRole.get(row.role) ?? new Set()).add(hash(row)));
  const heldOut = new Set([...byRole.values()].flatMap((all) => [...all].sort().slice(0, Number(flags['held-out']))));
  mkdirSync(join(data, ROWS), { recursive: true });
  const write = (name, isWanted) => {
    const text = rows.filter(isWanted).map(({ line }) => `${line}\n`);
    writeFileSync(join(data, ROWS, `${name}.jsonl`), text.join(''));
  };
  write('train', (row) => !heldOut.has(hash(row)));
  write('held_out', (row) => heldOut.has(hash(row)));
  const [profiles, link] = [resolve(source, 'profiles-eng'), join(data, 'profiles-eng')];
  if (existsSync(profiles) && !existsSync(link)) symlinkSync(profiles, link);
}

function metricsOf({ folder }) {
  const path = join(folder, 'metrics.jsonl');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .trimEnd()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
}

const isFinished = (run) => metricsOf(run).at(-1)?.step === steps;

let child = null;
let isStopped = false;
const stop = (signal) => {
  isStopped = true;
  // A terminal's Ctrl-C reaches the child by itself.
  if (signal !== 'SIGINT') child?.kill('SIGTERM');
};
process.on('SIGINT', () => stop('SIGINT'));
process.on('SIGTERM', () => stop('SIGTERM'));
if (flags.minutes !== undefined) setTimeout(() => stop('time'), Number(flags.minutes) * 60_000).unref();

/** Trains one run to its end or to where it is stopped; gives the exit code. */
function train({ roles, seed, folder }, data) {
  const keys = [
    ...[`data.path=${data}`, 'data.kinds=[role_specific]', 'data.generalization=instruction', 'data.language=eng'],
    ...['data.train_split=train', 'data.eval_split=held_out', 'data.eval_fraction=null', 'data.answers=all'],
    ...[`batching.samples_per_step=${flags['samples-per-step']}`, `batching.roles_per_step=${roles}`],
    ...[`training.seed=${seed}`, `training.max_steps=${steps}`, `training.eval_steps=${flags['eval-every']}`],
    ...['training.num_epochs=100', 'training.save_steps=1', 'training.save_total_limit=1', `output_dir=${folder}`],
  ];
  const args = [CLI, 'train', flags.config, ...keys, ...overrides, '--resume'];
  return new Promise((done) => {
    child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    child.on('close', (code) => done(code ?? 1));
  });
}

/** Median tokens/s of the fastest half of all steps: what slows down the others is other work on the machine. */
function rateOf(finished) {
  const steps = finished.flatMap((run) => metricsOf(run).filter((row) => row.num_tokens !== undefined));
  const rates = steps.map((row) => row.num_tokens / row.step_seconds).sort((a, b) => b - a);
  const fastest = rates.slice(0, Math.ceil(rates.length / 2));
  return fastest[fastest.length >> 1];
}

/** [{ samples, tokens, loss }] at the evaluations. */
function curveOf(run) {
  let [samples, tokens] = [0, 0];
  return metricsOf(run).flatMap((row) => {
    samples += row.num_samples ?? 0;
    tokens += row.num_tokens ?? 0;
    return row.eval_loss === undefined ? [] : [{ samples, tokens, loss: row.eval_loss }];
  });
}

/** Held-out loss after so many `samples` or `tokens`, on the straight line between two evaluations. */
function lossAt(curve, key, value) {
  const next = curve.findIndex((point) => point[key] >= value);
  if (next <= 0) return curve.at(next)?.loss ?? Number.NaN;
  const [a, b] = [curve[next - 1], curve[next]];
  return a.loss + ((b.loss - a.loss) * (value - a[key])) / (b[key] - a[key]);
}

/** Mean, and half the spread over the seeds. */
function told(numbers, digits) {
  const mean = numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const half = (Math.max(...numbers) - Math.min(...numbers)) / 2;
  return `${mean.toFixed(digits)} ± ${half.toFixed(digits)}`;
}

function table() {
  const finished = runs.filter(isFinished).map((run) => ({ ...run, curve: curveOf(run) }));
  if (finished.length === 0) return 'no run is finished yet\n';
  const rate = rateOf(finished);
  const least = (key) => Math.min(...finished.map(({ curve }) => curve.at(-1)[key]));
  const [samples, tokens] = [least('samples'), least('tokens')];
  const time = `${(tokens / rate).toFixed(0)} s of steps at ${rate.toFixed(0)} tokens/s`;
  const lines = [
    `| roles_per_step | seeds | tokens a sample | samples/s | held-out loss, start | after ${samples} samples | after ${time} |`,
    '|---|---|---|---|---|---|---|',
  ];
  for (const roles of flags.roles.split(',')) {
    const curves = finished.filter((run) => run.roles === roles).map(({ curve }) => curve);
    if (curves.length === 0) continue;
    const each = (value, digits) => told(curves.map(value), digits);
    const cells = [
      ...[roles, curves.length],
      each((curve) => curve.at(-1).tokens / curve.at(-1).samples, 0),
      each((curve) => (curve.at(-1).samples * rate) / curve.at(-1).tokens, 2),
      each(([start]) => start.loss, 4),
      each((curve) => lossAt(curve, 'samples', samples), 4),
      each((curve) => lossAt(curve, 'tokens', tokens), 4),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  const notes = [
    '± is half the distance between the lowest and the highest seed.',
    'Seconds are computed tokens by one rate for all runs, the median of the fastest half of their steps.',
  ];
  return `${lines.join('\n')}\n\n${notes.join('\n')}\n`;
}

const data = join(flags.output, 'data');
if (!flags.table) splitRows(data);
for (const run of flags.table ? [] : runs) {
  if (isStopped) break;
  if (isFinished(run)) continue;
  process.stderr.write(`roles_per_step ${run.roles}, seed ${run.seed}: ${run.folder}\n`);
  const code = await train(run, data);
  if (code !== 0 && !isStopped) process.exit(code);
}
process.stdout.write(table());
process.exit(runs.every(isFinished) || flags.table ? 0 : 130);
