// A folder with everything a run of seconds needs (tiny model, rows of its own, a config), and the command line in it.
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { createRng } from '../../src/core/rng.ts';
import { type CliOptions, type CliResult, rocit, startRocit } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { writeTinyModel } from '../support/tiny_model.ts';

/** Keys of metrics.jsonl that differ between two equal runs. */
const TIMINGS = ['step_seconds', 'tokens_per_second', 'samples_per_second'];

/** Dropout, two epochs, several packs a step, links and pruning: all of it in 8 steps. */
const CONFIG = {
  model: { base: 'tiny' },
  data: { source: 'chat_jsonl', path: 'rows', template: 'chat_template', max_seq_length: 128 },
  lora: { r: 4, lora_alpha: 8, lora_dropout: 0.1 },
  packing: { max_tokens_per_pack: 128 },
  batching: { samples_per_step: 6, roles_per_step: 2 },
  optimizer: { learning_rate: 0.01 },
  training: { num_epochs: 2, eval_steps: 3, save_steps: 2, save_total_limit: 2 },
  output_dir: 'run',
};

export interface TinyRun {
  folder: string;
  /** A path below the folder. */
  at(...parts: string[]): string;
  /** `rocit train config.yaml <args>`, in the folder. */
  train(args?: readonly string[], options?: CliOptions): Promise<CliResult>;
  start(args?: readonly string[], options?: CliOptions): ReturnType<typeof startRocit>;
}

/** Call it inside describe or at the top of a file. `changes` are sections of the config, merged key by key. */
export function tinyRun(changes: Record<string, object> = {}, rows = { train: 24, test: 6 }): TinyRun {
  const folder = temporaryFolder();
  writeTinyModel(folder);
  mkdirSync(join(folder, 'rows'));
  for (const [split, count] of Object.entries(rows)) {
    writeFileSync(join(folder, 'rows', `${split}.jsonl`), chatRows(split, count));
  }
  const sections: Record<string, unknown> = { ...CONFIG };
  for (const [name, keys] of Object.entries(changes)) sections[name] = { ...(sections[name] as object), ...keys };
  writeFileSync(join(folder, 'config.yaml'), stringify(sections));
  const full = (args: readonly string[]) => ['train', 'config.yaml', ...args];
  return {
    folder,
    at: (...parts) => join(folder, ...parts),
    train: (args = [], options = {}) => rocit(full(args), { cwd: folder, ...options }),
    start: (args = [], options = {}) => startRocit(full(args), { cwd: folder, ...options }),
  };
}

const ROLES = ['Mara', 'Old Tam', 'Wick'];
const WORDS = 'the sea was calm and I rowed home before dark with tea bread salt rope lamp'.split(' ');

/** Rows of a few dozen tokens, a pure function of the split's name. */
function chatRows(split: string, count: number): string {
  const rng = createRng(0, 'tiny_run', split);
  const words = (n: number) => Array.from({ length: n }, () => WORDS[rng.int(WORDS.length)]).join(' ');
  const row = (i: number) => {
    const role = ROLES[i % ROLES.length] as string;
    const messages = [
      { role: 'user', content: `${i}: ${words(2 + rng.int(4))}?` },
      { role: 'assistant', content: words(2 + rng.int(8)) },
    ];
    return `${JSON.stringify({ role, messages })}\n`;
  };
  return Array.from({ length: count }, (_, i) => row(i)).join('');
}

/** The rows of metrics.jsonl without what time decides. */
export function metricsOf(run: string): Record<string, unknown>[] {
  return metricsRows(run).map((row) =>
    Object.fromEntries(Object.entries(row).filter(([key]) => !TIMINGS.includes(key))),
  );
}

export function metricsRows(run: string): Record<string, unknown>[] {
  const text = readFileSync(join(run, 'metrics.jsonl'), 'utf8');
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** All that must be equal, byte for byte, between an uninterrupted run and one that was not. */
export function stateOf(run: string): Record<string, unknown> {
  const last = join(run, readlinkSync(join(run, 'last')));
  const bytes = (name: string) => readFileSync(join(last, name)).toString('base64');
  return {
    last: readlinkSync(join(run, 'last')),
    best: readlinkSync(join(run, 'best')),
    adapter: bytes('adapter_model.safetensors'),
    moments: bytes('run_state.safetensors'),
    state: readFileSync(join(last, 'run_state.json'), 'utf8'),
    metrics: metricsOf(run),
  };
}

/** The same without the name of the folder, which may differ. */
export function comparable(run: string): unknown {
  const { state, ...rest } = stateOf(run);
  return { ...rest, state: String(state).replace(/"output_dir": .*/, '') };
}

/** Names in a run folder, sorted; nothing when there is none. */
export function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

/** Resolves when the process wrote something that matches to stderr; rejects when it ended without. */
export function untilStderr({ process, done }: ReturnType<typeof startRocit>, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    process.stderr?.on('data', (chunk: string) => {
      text += chunk;
      const match = pattern.exec(text);
      if (match !== null) resolve(match[0]);
    });
    done.then(({ stderr }) => reject(new Error(`ended without ${pattern}:\n${stderr}`)), reject);
  });
}
