// npm run bench -- prepare: speed and memory of `rocit prepare`, from JSON Lines to closed shards, on role rows and on chat
// rows whose contents all differ; beside each the bare tokenizer library on the same contents, as a ratio.
import { spawnSync } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { SetupError } from '../bootstrap/steps.mjs';

const HELP = `npm run bench -- prepare [flags]

Writes made-up rows (words of the sample roles in random order), prepares them, and prints tokens/s and peak memory, each in
a process of its own; then the bare tokenizer library on the same contents, for the ratio.

  --samples <n>     role samples, of 100 roles (168000); chat rows are a quarter of them
  --model <folder>  base model with the tokenizer (checkpoints/base/smollm2-135m-instruct)
  --repeats <n>     of all of it (1)
`;

const OPTIONS = {
  samples: { type: 'string', default: '168000' },
  model: { type: 'string', default: join('checkpoints', 'base', 'smollm2-135m-instruct') },
  repeats: { type: 'string', default: '1' },
  help: { type: 'boolean', default: false },
};

export async function benchPrepare(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  if (values.help) return process.stdout.write(HELP);
  const samples = Number(values.samples);
  process.stdout.write(`${availableParallelism()} cores of ${cpus()[0]?.model}, node ${process.version}\n`);
  const root = mkdtempSync(join(tmpdir(), 'rocit-bench-'));
  try {
    await writeRoleRows(root, samples);
    await writeChatRows(root, Math.ceil(samples / 4));
    for (let repeat = 0; repeat < Number(values.repeats); repeat++) {
      for (const kind of ['role', 'chat']) {
        const ours = inProcess('--prepare', kind, root, values.model);
        const bare = inProcess('--bare', kind, root, values.model);
        process.stdout.write(`${report(kind, ours, bare)}\n`);
      }
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}

function report(kind, ours, bare) {
  const speed = ours.tokens / ours.seconds;
  const library = bare.tokens / bare.seconds;
  return (
    `${kind} rows: ${ours.samples} samples, ${ours.tokens} tokens in ${ours.seconds.toFixed(1)} s: ` +
    `${Math.round(speed)} tokens/s, peak ${(ours.peak / 1024).toFixed(0)} MB; ` +
    `the library alone on every content: ${Math.round(library)} tokens/s, ratio ${(speed / library).toFixed(2)}`
  );
}

function inProcess(...args) {
  const { stdout, status, stderr } = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new SetupError(`prepare: expected a measurement, got ${stderr}`);
  return JSON.parse(stdout);
}

/** Random numbers that are the same in every run. */
function lcg(seed) {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

function sampleWords() {
  const path = join('data', 'sample', 'rolebench-eng', 'instruction-generalization', 'role_specific', 'train.jsonl');
  const rows = readFileSync(path, 'utf8').trimEnd().split('\n').map(JSON.parse);
  return rows
    .flatMap(({ question, generated }) => [question, ...generated])
    .join(' ')
    .split(/\s+/);
}

async function writeLines(path, count, line) {
  const file = createWriteStream(path);
  for (let i = 0; i < count; i++) {
    if (!file.write(`${JSON.stringify(line(i))}\n`)) await new Promise((resolve) => file.once('drain', resolve));
  }
  await new Promise((resolve) => file.end(resolve));
}

async function writeRoleRows(root, samples) {
  const [words, random] = [sampleWords(), lcg(1)];
  const text = (n) => Array.from({ length: n }, () => words[random(words.length)]).join(' ');
  const folder = join(root, 'role', 'rolebench-eng', 'instruction-generalization', 'general');
  mkdirSync(folder, { recursive: true });
  mkdirSync(join(root, 'role', 'profiles-eng'));
  const descriptions = Array.from({ length: 100 }, (_, i) => [`Role ${i}`, text(110)]);
  await writeLines(join(root, 'role', 'profiles-eng', 'desc.json'), 1, () => Object.fromEntries(descriptions));
  await writeLines(join(folder, 'train.jsonl'), samples, (i) => ({
    ...{ role: `Role ${i % 100}`, question: `${text(12)} ${i}?`, generated: [text(35)] },
  }));
}

async function writeChatRows(root, rows) {
  const [words, random] = [sampleWords(), lcg(2)];
  const text = (n) => Array.from({ length: n }, () => words[random(words.length)]).join(' ');
  mkdirSync(join(root, 'chat'));
  await writeLines(join(root, 'chat', 'train.jsonl'), rows, (i) => ({
    messages: [
      { role: 'system', content: `You are ${i}. ${text(60)}` },
      ...[0, 1].flatMap(() => [
        { role: 'user', content: text(25) },
        { role: 'assistant', content: text(50) },
      ]),
    ],
  }));
}

async function measurePrepare(kind, root, tokenizer_folder) {
  const { prepare } = await import('../../dist/data/prepare.js');
  const data = {
    ...{ source: kind === 'chat' ? 'chat_jsonl' : 'rolebench', path: join(root, kind), language: 'eng' },
    ...{ generalization: 'instruction', kinds: ['general'], train_split: 'train', eval_split: null },
    ...{ eval_fraction: null, eval_sampling: 'per_role', answers: 'all', template: 'chat_template' },
    ...{ template_date: '2024-07-26', max_seq_length: 1024, overflow: 'drop', on_bad_row: 'error' },
  };
  const start = performance.now();
  const cache_dir = mkdtempSync(join(root, 'cache-'));
  const { train } = await prepare({ data, tokenizer_folder, seed: 0, cache_dir });
  const { samples, tokens } = train.stats;
  return { samples, tokens, seconds: (performance.now() - start) / 1000 };
}

/** The library's own batches over all contents, each tokenised as often as it stands in the rows. */
async function measureBare(kind, root, tokenizer_folder) {
  const { Tokenizer } = createRequire(import.meta.url)('tokenizers');
  const tokenizer = Tokenizer.fromFile(join(tokenizer_folder, 'tokenizer.json'));
  const folder = kind === 'chat' ? '' : join('rolebench-eng', 'instruction-generalization', 'general');
  const lines = readFileSync(join(root, kind, folder, 'train.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .slice(0, 20_000);
  const texts = lines.flatMap((line) => {
    const { messages, question, generated } = JSON.parse(line);
    return messages === undefined ? [question, ...generated] : messages.map(({ content }) => content);
  });
  let tokens = 0;
  const start = performance.now();
  for (let at = 0; at < texts.length; at += 1024) {
    const encodings = await tokenizer.encodeBatch(texts.slice(at, at + 1024), { addSpecialTokens: false });
    for (const encoding of encodings) tokens += encoding.getIds().length;
  }
  return { tokens, seconds: (performance.now() - start) / 1000 };
}

const [part, kind, root, model] = process.argv.slice(2);
if (part === '--prepare' || part === '--bare') {
  const result = await (part === '--prepare' ? measurePrepare : measureBare)(kind, root, model);
  process.stdout.write(JSON.stringify({ ...result, peak: process.resourceUsage().maxRSS }));
}
