// One measurement of our LoRA training step, in a process of its own (started by ../bench.mjs): loads the model, warms
// up, times one pass of the product's own steps over the samples and prints one JSON line. Needs the compiled dist/.
//
// Tokens are counted as bench_peft.py counts them: input_ids of every sample, the last one too, which has no row here.
// Memory too: the high-water mark of the resident set (VmHWM, set back through clear_refs once the model is loaded, the
// packs are made and garbage is collected) less the resident set at that moment.
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { packStep } from '../../dist/data/pack.js';
import { openProfile } from '../../dist/engine/profile.js';
import { startEngine } from '../../dist/engine/runtime.js';
import { loadModel } from '../../dist/models/load.js';
import { addLora } from '../../dist/nn/lora.js';
import { initialOptimizerState, trainStep } from '../../dist/training/step.js';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string' },
    samples: { type: 'string' },
    dtype: { type: 'string' },
    r: { type: 'string', default: '16' },
    strategy: { type: 'string', default: 'sequence' },
    'max-tokens': { type: 'string', default: '2048' },
    'samples-per-step': { type: 'string', default: '32' },
    recompute: { type: 'string', default: 'none' },
    profile: { type: 'string' },
  },
});

/** A sample as `packStep` takes it; those without a target are left out, as bench_peft.py does. */
function readSamples(path) {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return lines.flatMap((line) => {
    const { input_ids, is_target } = JSON.parse(line);
    if (!is_target.slice(1).some((flag) => flag > 0)) return [];
    return [{ input_ids: Int32Array.from(input_ids), is_target: Uint8Array.from(is_target) }];
  });
}

/** The first token of a sample has nothing in front that could predict it. */
function countTargets(samples) {
  return samples.reduce((sum, { is_target }) => sum + is_target.subarray(1).reduce((a, b) => a + b, 0), 0);
}

function memoryOf(field) {
  const line = new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(line?.[1] ?? 0) * 1024;
}

/** Processor time that all processes but this one have used, in seconds. */
function secondsOfOthers() {
  const machine = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1e3;
  const { user, system } = process.cpuUsage();
  return machine - (user + system) / 1e6;
}

async function measure(samples) {
  const engine = await startEngine();
  const model = loadModel(options.model, { dtype: options.dtype });
  const r = Number(options.r);
  const lora = { r, lora_alpha: 2 * r, lora_dropout: 0, target_modules: 'all-linear', use_rslora: false };
  addLora(model.linears, lora, 0);
  const perStep = Number(options['samples-per-step']);
  const settings = { strategy: options.strategy, max_tokens_per_pack: Number(options['max-tokens']) };
  const steps = Array.from({ length: Math.ceil(samples.length / perStep) }, (_, i) =>
    packStep(samples.slice(i * perStep, (i + 1) * perStep), settings),
  );
  globalThis.gc?.();
  writeFileSync('/proc/self/clear_refs', '5');
  const loaded = memoryOf('VmRSS');
  // As torch's AdamW, whose moments are made in the first step.
  const optimizer = initialOptimizerState(model);
  const step = (packs) =>
    trainStep(packs, {
      model,
      optimizer,
      settings: { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0, max_grad_norm: 1 },
      learning_rate: 1e-4,
      recompute: options.recompute,
      seed: 0,
      onProgress: () => {},
    });
  const packs = steps.flat();
  const rows = packs.map((pack) => pack.input_ids.length);
  await step([packs[rows.indexOf(Math.max(...rows))]]);
  const profile = options.profile ? openProfile(options.profile) : null;
  const others = secondsOfOthers();
  const used = process.cpuUsage();
  const start = performance.now();
  let loss_sum = 0;
  for (const [i, one] of steps.entries()) {
    const begin = performance.now();
    const { loss } = await step(one);
    profile?.step(`step ${i + 1}`, begin / 1000, performance.now() / 1000);
    loss_sum += loss * countTargets(samples.slice(i * perStep, (i + 1) * perStep));
  }
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(used);
  const others_share = (secondsOfOthers() - others) / seconds / cpus().length;
  const summary = profile?.close();
  const num_tokens = samples.reduce((sum, { input_ids }) => sum + input_ids.length, 0);
  const num_targets = countTargets(samples);
  return {
    kernels: engine.kernels.length,
    threads: engine.threads,
    num_samples: samples.length,
    num_tokens,
    num_targets,
    num_rows: rows.reduce((a, b) => a + b, 0),
    largest_batch_tokens: Math.max(...rows),
    seconds,
    cpu_seconds: (user + system) / 1e6,
    tokens_per_s: num_tokens / seconds,
    samples_per_s: samples.length / seconds,
    others_share,
    peak_memory_bytes: memoryOf('VmHWM') - loaded,
    loaded_memory_bytes: loaded,
    mean_loss: loss_sum / num_targets,
    ...(summary ? { overhead: summary.overhead } : {}),
  };
}

process.stdout.write(`${JSON.stringify(await measure(readSamples(options.samples)))}\n`);
