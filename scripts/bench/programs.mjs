// The two programs that a bench compares, each measurement a process of its own that prints lines of JSON.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { build, keyOf, root, SetupError, writeWhole } from '../bootstrap/steps.mjs';

const MODULES = ['torch', 'transformers', 'peft', 'psutil'];
const PROBE = 'import sys, importlib.util as u; print(*[m for m in sys.argv[1:] if u.find_spec(m) is None])';
const SETTINGS = join(build, 'bench', 'peft_settings.json');

/** A Python with PyTorch and PEFT, or the reason why there is none. */
export function findPython() {
  const python = process.env.ROCIT_TORCH_PYTHON ?? 'python3';
  const { status, stdout } = spawnSync(python, ['-c', PROBE, ...MODULES], { encoding: 'utf8' });
  const lacks = status === 0 ? stdout.trim() : 'the program itself';
  if (lacks === '') return { python, problem: null };
  return { python: null, problem: `${python} lacks ${lacks}; ROCIT_TORCH_PYTHON names another` };
}

function linesOf(command, args) {
  const { status, signal, stdout } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status !== 0) throw new SetupError(`${command} ${args[0]}: expected exit code 0, got ${signal ?? status}.`);
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line));
}

const flagsOf = (options) => Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);

/** One measurement of rocit. */
export function measureRocit(options) {
  const script = join(root, 'scripts/bench/train_steps.mjs');
  return linesOf(process.execPath, ['--expose-gc', script, ...flagsOf(options)])[0];
}

function peft(python, { model, samples, dtype, r }, rest) {
  const script = join(root, 'scripts/bench_peft.py');
  return linesOf(python, [script, model, samples, ...flagsOf({ dtype, r }), '--json', ...rest]);
}

/** One measurement of PEFT with a batch size and a setting of autocast_adapter_dtype. */
export function measurePeft(python, common, { batch_size, autocast, checkpointing = false }) {
  const flags = flagsOf({
    'batch-sizes': batch_size,
    autocast,
    repeats: 1,
    'samples-per-step': common.samples_per_step,
  });
  return peft(python, common, [...flags, ...(checkpointing ? ['--gradient-checkpointing'] : [])])[0];
}

/** PEFT's fastest setting on these samples: searched once for a machine and kept in build/bench. */
export function bestPeftSetting(python, common, { sweepSamples, again }) {
  const key = keyOf([join(root, 'scripts/bench_peft.py'), common.samples], cpus()[0]?.model, common, sweepSamples);
  const kept = existsSync(SETTINGS) ? JSON.parse(readFileSync(SETTINGS, 'utf8')) : {};
  if (!again && kept[key] !== undefined) return kept[key];
  const flags = flagsOf({ repeats: 0, 'samples-per-step': sweepSamples, 'sweep-samples': sweepSamples });
  const rows = peft(python, common, flags);
  const best = rows.reduce((a, b) => (b.tokens_per_s > a.tokens_per_s ? b : a));
  const setting = { batch_size: best.batch_size, autocast: best.autocast_adapter_dtype ? 'on' : 'off' };
  const swept = rows.map((row) => [row.batch_size, row.autocast_adapter_dtype ? 'on' : 'off', row.tokens_per_s]);
  writeWhole(SETTINGS, JSON.stringify({ ...kept, [key]: { ...setting, swept } }));
  return { ...setting, swept };
}
