// npm run bench: tokens/s, samples/s and peak memory of a whole LoRA training step, ours and, where a Python has PyTorch
// and PEFT, that of transformers + PEFT on the same samples, measured in turn. Run it on a machine that is idle.
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { benchPrepare } from './bench/prepare.mjs';
import { bestPeftSetting, findPython, measurePeft, measureRocit } from './bench/programs.mjs';
import { describeMemory, describeSpeed } from './bench/report.mjs';
import { oneBatch, writeSamples } from './bench/samples.mjs';
import { workload } from './bench/workload.mjs';
import { SetupError, say } from './bootstrap/steps.mjs';
import { bootstrap, runAsProgram } from './bootstrap.mjs';

const HELP = `npm run bench [-- [config] [key=value …] [flags]]

Times the product's LoRA step (packing included, r on all linear layers, every row with its own labels) and, in turn
with it, transformers + PEFT: the better of autocast_adapter_dtype on and off and the best batch size of 1, 2, 4, 8 and 16,
found once by a short search and kept in build/bench. Then the peak memory of both on one micro-batch of equal tokens, over
what they hold after loading. Each measurement is a process of its own; a warm-up step is left out.

"tokens/s" counts computed tokens, "equivalent tokens/s" what the same samples have when nothing is shared; padding counts
nowhere. "others %" is what other programs took of the processors meanwhile: figures count where it is near 0.

Without sharing, both run the same samples, spread over the lengths, as one step, and the ratio is that of tokens/s.
With --strategy tree ours runs the first steps of the config's plan as the config ships them (samples and roles a step, pack
size, LoRA), and the ratio is that of samples/s. PEFT, which needs the same time for a token of any of them, is timed on some
of these samples: batches of 16 neighbours in length, evenly over the lengths, so that it pads as little as among all. Its
samples/s are its tokens/s by the mean length of our samples. The gates are those of the Chinese rows of both kinds, and of
the English role-specific rows with descriptions, which scripts/make_descriptions.mjs adds to a release without them:
  npm run bench -- configs/rolebench_smollm2_zh.yaml --strategy tree
  node scripts/make_descriptions.mjs data/rolebench build/described
  npm run bench -- configs/rolebench_smollm2.yaml data.path=build/described --strategy tree

  config            whose training rows are used (configs/rolebench_smollm2.yaml with RoleBench in data/rolebench,
                    else configs/sample_smollm2.yaml)
  --samples <file>  rows of scripts/export_samples.mjs instead
  --model <folder>  base model (that of the config)
  --dtype <dtype>   float32, bfloat16 or both (both)
  --strategy <name> packing.strategy: sequence and none share nothing, tree does (sequence)
  --r <rank>        LoRA rank (16; with tree the config's)
  --count <n>       our samples in the timed pass (32, 16 with --quick; with tree rounded up to whole steps: 2 steps, 1 with
                    --quick)
  --peft-count <n>  those of them that PEFT is timed on with tree (32; 16 with --quick)
  --repeats <n>     interleaved repeats (3; 1 with --quick)
  --tokens <n>      tokens of a micro-batch, ours and for memory (2048; with tree the config's)
  --parts <list>    speed, memory or speed,memory (both; speed with tree)
  --search          search PEFT's best setting anew
  --alone           without PEFT
  --quick           fewer samples, one repeat
  --json            one JSON object on stdout

npm run bench -- prepare   times tokenising instead (-- prepare --help)

ROCIT_TORCH_PYTHON names the Python with torch, transformers and peft (python3).
`;

const OPTIONS = {
  samples: { type: 'string' },
  model: { type: 'string' },
  dtype: { type: 'string', default: 'both' },
  strategy: { type: 'string', default: 'sequence' },
  r: { type: 'string' },
  count: { type: 'string' },
  'peft-count': { type: 'string' },
  repeats: { type: 'string' },
  tokens: { type: 'string' },
  parts: { type: 'string' },
  search: { type: 'boolean', default: false },
  alone: { type: 'boolean', default: false },
  quick: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

const numberOf = (text) => (text === undefined ? undefined : Number(text));

function readArguments() {
  try {
    const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
    const numbers = { r: numberOf(values.r), tokens: numberOf(values.tokens), count: numberOf(values.count) };
    const repeats = Number(values.repeats ?? (values.quick ? 1 : 3));
    const parts = (values.parts ?? (values.strategy === 'tree' ? 'speed' : 'speed,memory')).split(',');
    const dtypes = values.dtype === 'both' ? ['float32', 'bfloat16'] : [values.dtype];
    return { ...values, ...numbers, peft_count: numberOf(values['peft-count']), positionals, repeats, dtypes, parts };
  } catch (error) {
    throw new SetupError(`bench: ${error.message} See --help.`);
  }
}

/** What each measurement of ours is told. */
const settingsOf = ({ model, lora, max_tokens }, { strategy }, dtype) => ({
  ...{ model, dtype, lora: JSON.stringify(lora), strategy, 'max-tokens': max_tokens },
});

/** Interleaved repeats of one dtype. */
function compareSpeed(options, work, dtype, python) {
  const { model, lora, samples_per_step, steps } = work;
  const settings = { ...settingsOf(work, options, dtype), samples: writeSamples('ours', work.ours) };
  // Samples of a plan name their steps.
  const ours = steps === null ? { ...settings, 'samples-per-step': samples_per_step } : settings;
  const theirs = { model, dtype, r: lora.r, samples_per_step };
  let setting = null;
  if (python !== null) {
    say(`PEFT's best setting in ${dtype} …`);
    const searched = { ...theirs, samples: writeSamples('searched', work.searched) };
    setting = bestPeftSetting(python, searched, { sweepSamples: 16, again: options.search });
  }
  const timed = { ...theirs, samples: writeSamples('theirs', work.theirs) };
  const repeats = [];
  for (let i = 0; i < options.repeats; i++) {
    say(`speed in ${dtype}, repeat ${i + 1} of ${options.repeats} …`);
    repeats.push({ rocit: measureRocit(ours), peft: python === null ? null : measurePeft(python, timed, setting) });
  }
  return { dtype, setting, repeats };
}

/** One micro-batch of equal tokens: ours without and with recompute, and PEFT's. */
function compareMemory(options, work, dtype, python) {
  say(`memory in ${dtype} …`);
  const batch = oneBatch(work.all, work.max_tokens);
  const samples = writeSamples('one_batch', batch);
  const settings = { ...settingsOf(work, options, dtype), samples, 'samples-per-step': batch.length };
  const ours = (recompute) => measureRocit({ ...settings, recompute });
  const theirs = (checkpointing) => {
    const given = { model: work.model, samples, dtype, r: work.lora.r, samples_per_step: batch.length };
    return measurePeft(python, given, { batch_size: batch.length, autocast: 'on', checkpointing });
  };
  const rows = { rocit: ours('none'), rocit_recompute: ours('block') };
  if (python !== null) Object.assign(rows, { peft: theirs(false), peft_checkpointing: theirs(true) });
  return { dtype, num_tokens: batch.reduce((sum, { length }) => sum + length, 0), ...rows };
}

await runAsProgram(async () => {
  const [what, ...rest] = process.argv.slice(2);
  if (what === 'prepare') {
    await bootstrap();
    return await benchPrepare(rest);
  }
  const options = readArguments();
  if (options.help) return process.stdout.write(HELP);
  await bootstrap();
  const { python, problem } = options.alone ? { python: null, problem: '--alone' } : findPython();
  if (problem !== null) say(`without PEFT: ${problem}`);
  const work = await workload(options);
  const machine = { processor: cpus()[0]?.model, cores: cpus().length, load: loadavg() };
  const measured = (part, compare) =>
    options.parts.includes(part) ? options.dtypes.map((dtype) => compare(options, work, dtype, python)) : [];
  const { source, gated, model, lora, max_tokens, steps } = work;
  const result = {
    ...{ machine, source, gated, strategy: options.strategy, model, lora, max_tokens, steps, problem },
    speed: measured('speed', compareSpeed),
    memory: measured('memory', compareMemory),
  };
  if (options.json) process.stdout.write(`${JSON.stringify(result)}\n`);
  else process.stdout.write(`${describeSpeed(result)}${describeMemory(result)}`);
});
