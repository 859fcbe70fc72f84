// npm start: sets everything up, then runs the main job: fine-tunes SmolLM2-135M-Instruct on the sample roles and shows
// what changed. Without the compiled engine it trains the tiny model instead. A second run finds the run finished.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { build, root, SetupError } from './bootstrap/steps.mjs';
import { bootstrap, runAsProgram } from './bootstrap.mjs';

const MAIN = {
  base: 'smollm2-135m-instruct',
  config: 'configs/sample_smollm2.yaml',
  run: 'checkpoints/sample_smollm2',
  prepared: ['configs/sample_smollm2.yaml', 'configs/sample_smollm2_zh.yaml'],
};
const TINY = {
  base: 'tiny-random-llama',
  config: 'configs/tiny.yaml',
  run: 'checkpoints/tiny',
  prepared: ['configs/tiny.yaml'],
};
const ROLE = 'Ondra Saltwick';
const QUESTION = 'Ondra Saltwick, a young sailor is afraid of the dark water. What do you tell her?';

/** Runs `rocit`; its stdout comes back or goes to the terminal. Stops with its exit code when it fails. */
function rocit(args, { quiet = false } = {}) {
  const stdio = ['ignore', quiet ? 'pipe' : 'inherit', 'inherit'];
  const { status, signal, stdout } = spawnSync(process.execPath, [join(root, 'dist/cli.js'), ...args], {
    cwd: root,
    stdio,
    encoding: 'utf8',
  });
  if (status !== 0) process.exit(status ?? (signal === 'SIGINT' ? 130 : 1));
  return quiet ? stdout.trim() : '';
}

function heading(text) {
  process.stdout.write(`\n── ${text}\n`);
}

function evaluations(run) {
  const path = join(root, run, 'metrics.jsonl');
  if (!existsSync(path)) throw new SetupError(`${run}: expected metrics.jsonl of a finished run, got no such file.`);
  const rows = readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return rows.filter((row) => row.eval_loss !== undefined);
}

function answer(job, adapter) {
  const flags = ['--role', ROLE, '--question', QUESTION, '--max-new-tokens', '80', '--temperature', '0'];
  return rocit(['generate', job.config, ...flags, '--adapter', adapter], { quiet: true });
}

// The terminal sends Ctrl-C to the command at work too, which saves and ends by itself.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => {});

await runAsProgram(async () => {
  await bootstrap();
  const hasEngine = existsSync(join(build, 'stamps', 'binding'));
  const job = hasEngine ? MAIN : TINY;
  heading('base model');
  rocit(['fetch', job.base]);
  for (const config of job.prepared) {
    heading(`data of ${config}`);
    rocit(['prepare', config]);
  }
  heading(`training ${job.config}`);
  rocit(['train', job.config, '--resume'], { quiet: true });
  const losses = evaluations(job.run);
  heading('result');
  process.stdout.write(`held-out loss ${losses[0].eval_loss.toFixed(3)} → ${losses.at(-1).eval_loss.toFixed(3)}\n`);
  process.stdout.write(`adapter (PEFT) in ${job.run}/best\n`);
  if (!hasEngine) return;
  process.stdout.write(`\n${ROLE} is asked: ${QUESTION}\n`);
  process.stdout.write(`\nbase model: ${answer(job, 'none')}\n`);
  process.stdout.write(`\nfine-tuned: ${answer(job, job.run)}\n`);
});
