// npm run bench: tokens/s, samples/s and peak memory of a whole LoRA training step, ours and, where a Python has PyTorch
// and PEFT, that of transformers + PEFT on the same samples, measured in turn. Run it on a machine that is idle.
import { existsSync, readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { bestPeftSetting, findPython, measurePeft, measureRocit } from './bench/programs.mjs';
import { describeMemory, describeSpeed } from './bench/report.mjs';
import { exportSamples, oneBatch, sortByLength, spread, writeSamples } from './bench/samples.mjs';
import { build, root, SetupError, say } from './bootstrap/steps.mjs';
import { bootstrap, runAsProgram } from './bootstrap.mjs';

const HELP = `npm run bench [-- [config] [key=value …] [flags]]

Times the product's LoRA step (packed, r on all linear layers, every row with its own labels) and, in turn with it,
transformers + PEFT on the same samples: the better of autocast_adapter_dtype on and off and the best batch size of
1, 2, 4, 8 and 16, found once by a short search and kept in build/bench. Then the peak memory of both on one micro-batch of equal
tokens, over what they hold after loading. Each measurement is a process of its own; warm-up is left out.
"others %" is what other programs took of the processors meanwhile: figures count where it is near 0.

  config            whose training rows are used (configs/rolebench_smollm2.yaml with RoleBench in data/rolebench,
                    else configs/sample_smollm2.yaml)
  --samples <file>  rows of scripts/export_samples.mjs instead
  --model <folder>  base model (checkpoints/base/smollm2-135m-instruct)
  --dtype <dtype>   float32, bfloat16 or both (both)
  --strategy <name> packing.strategy (sequence: without sharing); with tree the samples are those of the first step that
                    the config would train on, and only speed is measured
  --r <rank>        LoRA rank (16)
  --count <n>       samples of the timed pass (32; 16 with --quick)
  --repeats <n>     interleaved repeats (3; 1 with --quick)
  --tokens <n>      tokens of a micro-batch, ours and for memory (2048)
  --parts <list>    speed, memory or speed,memory (both)
  --search          search PEFT's best setting anew
  --alone           without PEFT
  --quick           fewer samples, one repeat
  --json            one JSON object on stdout

ROCIT_TORCH_PYTHON names the Python with torch, transformers and peft (python3).
`;

const OPTIONS = {
  samples: { type: 'string' },
  model: { type: 'string', default: 'checkpoints/base/smollm2-135m-instruct' },
  dtype: { type: 'string', default: 'both' },
  strategy: { type: 'string', default: 'sequence' },
  r: { type: 'string', default: '16' },
  count: { type: 'string' },
  repeats: { type: 'string' },
  tokens: { type: 'string', default: '2048' },
  parts: { type: 'string' },
  search: { type: 'boolean', default: false },
  alone: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

function readArguments() {
  try {
    const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
    const count = Number(values.count ?? (values.quick ? 16 : 32));
    const repeats = Number(values.repeats ?? (values.quick ? 1 : 3));
    const parts = (values.parts ?? (values.strategy === 'tree' ? 'speed' : 'speed,memory')).split(',');
    const dtypes = values.dtype === 'both' ? ['float32', 'bfloat16'] : [values.dtype];
    return { ...values, positionals, count, repeats, dtypes, parts };
  } catch (error) {
    throw new SetupError(`bench: ${error.message} See --help.`);
  }
}

/** The samples to choose from and those of the timed pass, the language they are in, and where they come from. */
async function gatherSamples({ samples, positionals, strategy, count }) {
  if (samples !== undefined) {
    const all = sortByLength(readFileSync(samples, 'utf8'));
    return { all, timed: spread(all, count), source: samples, language: null };
  }
  const known = existsSync(join(root, 'data/rolebench')) ? 'rolebench_smollm2' : 'sample_smollm2';
  const isConfig = positionals.length > 0 && !positionals[0].includes('=');
  const [path, overrides] = isConfig ? [positionals[0], positionals.slice(1)] : [`configs/${known}.yaml`, positionals];
  const { loadConfig } = await import('../dist/config/load.js');
  const { language } = loadConfig(path, overrides).config.data;
  const all = exportSamples(path, overrides, strategy === 'tree' ? 1 : null);
  return { all, timed: strategy === 'tree' ? all : spread(all, count), source: path, language };
}

/** One optimizer step for all, as a multiple of every batch size. */
const wholeBatches = (count) => 16 * Math.ceil(count / 16);

/** Interleaved repeats of one dtype. */
function compareSpeed(options, dtype, samples, python) {
  const common = {
    ...{
      model: options.model,
      samples: writeSamples(join(build, 'bench/samples.jsonl'), samples),
      dtype,
      r: options.r,
    },
    samples_per_step: wholeBatches(samples.length),
  };
  let setting = null;
  if (python !== null) {
    say(`PEFT's best setting in ${dtype} …`);
    setting = bestPeftSetting(python, common, { sweepSamples: 16, again: options.search });
  }
  const repeats = [];
  for (let i = 0; i < options.repeats; i++) {
    say(`speed in ${dtype}, repeat ${i + 1} of ${options.repeats} …`);
    const { samples_per_step, ...given } = common;
    const packing = { strategy: options.strategy, 'max-tokens': options.tokens, 'samples-per-step': samples_per_step };
    const rocit = measureRocit({ ...given, ...packing });
    repeats.push({ rocit, peft: python === null ? null : measurePeft(python, common, setting) });
  }
  return { dtype, setting, repeats };
}

/** One micro-batch of equal tokens: ours without and with recompute, and PEFT's. */
function compareMemory(options, dtype, samples, python) {
  say(`memory in ${dtype} …`);
  const batch = oneBatch(samples, Number(options.tokens));
  const path = writeSamples(join(build, 'bench/one_batch.jsonl'), batch);
  const given = { model: options.model, samples: path, dtype, r: options.r };
  const packing = { strategy: options.strategy, 'max-tokens': options.tokens, 'samples-per-step': batch.length };
  const ours = (recompute) => measureRocit({ ...given, ...packing, recompute });
  const theirs = (checkpointing) => {
    const setting = { batch_size: batch.length, autocast: 'on', checkpointing };
    return measurePeft(python, { ...given, samples_per_step: batch.length }, setting);
  };
  const rows = { rocit: ours('none'), rocit_recompute: ours('block') };
  if (python !== null) Object.assign(rows, { peft: theirs(false), peft_checkpointing: theirs(true) });
  return { dtype, num_tokens: batch.reduce((sum, { length }) => sum + length, 0), ...rows };
}

await runAsProgram(async () => {
  const options = readArguments();
  if (options.help) return process.stdout.write(HELP);
  await bootstrap();
  const { python, problem } = options.alone ? { python: null, problem: '--alone' } : findPython();
  if (problem !== null) say(`without PEFT: ${problem}`);
  const { all, timed, source, language } = await gatherSamples(options);
  const machine = { processor: cpus()[0]?.model, cores: cpus().length, load: loadavg() };
  const speed = options.parts.includes('speed')
    ? options.dtypes.map((dtype) => compareSpeed(options, dtype, timed, python))
    : [];
  const memory = options.parts.includes('memory')
    ? options.dtypes.map((dtype) => compareMemory(options, dtype, all, python))
    : [];
  const { strategy } = options;
  const result = {
    machine,
    source,
    language,
    strategy,
    model: options.model,
    r: Number(options.r),
    problem,
    speed,
    memory,
  };
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else process.stdout.write(`${describeSpeed(result)}${describeMemory(result)}`);
});
