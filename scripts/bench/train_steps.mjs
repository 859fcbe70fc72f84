// One measurement of our LoRA training step, in a process of its own (started by ../bench.mjs): loads the model, warms
// up with the first step, times one pass of the product's own steps over the samples, packing included, and prints one
// JSON line. Needs the compiled dist/.
//
// Tokens are those of metrics.jsonl: num_tokens computed, num_equivalent_tokens when nothing is shared; bench_peft.py
// counts the same. Memory is the high-water mark of the resident set (VmHWM, set back through clear_refs once the model is
// loaded and garbage is collected) less the resident set at that moment.
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
    lora: { type: 'string' },
    strategy: { type: 'string', default: 'sequence' },
    'max-tokens': { type: 'string', default: '2048' },
    'samples-per-step': { type: 'string' },
    recompute: { type: 'string', default: 'none' },
    profile: { type: 'string' },
  },
});

/** A sample as `packStep` takes it; those without a target are left out, as bench_peft.py does. */
function readSamples(path) {
  const lines = readFileSync(path, 'utf8').trim().split('\n');
  return lines.flatMap((line) => {
    const { input_ids, is_target, step } = JSON.parse(line);
    if (!is_target.slice(1).some((flag) => flag > 0)) return [];
    return [{ input_ids: Int32Array.from(input_ids), is_target: Uint8Array.from(is_target), step }];
  });
}

/** The samples of each step: so many at a time, or as the lines of the file name their steps. */
function inSteps(samples, perStep) {
  const steps = new Map();
  samples.forEach((sample, i) => {
    const step = perStep === undefined ? sample.step : Math.floor(i / perStep);
    steps.set(step, [...(steps.get(step) ?? []), sample]);
  });
  return [...steps.values()];
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
  addLora(model.linears, JSON.parse(options.lora), 0);
  const settings = { strategy: options.strategy, max_tokens_per_pack: Number(options['max-tokens']) };
  const steps = inSteps(samples, options['samples-per-step']);
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
  await step(packStep(steps[0], settings));
  const profile = options.profile ? openProfile(options.profile) : null;
  const others = secondsOfOthers();
  const used = process.cpuUsage();
  const start = performance.now();
  const rows = [];
  let loss_sum = 0;
  for (const [i, one] of steps.entries()) {
    const begin = performance.now();
    const packs = packStep(one, settings);
    const { loss, num_targets } = await step(packs);
    profile?.step(`step ${i + 1}`, begin / 1000, performance.now() / 1000);
    rows.push(...packs.map(({ input_ids }) => input_ids.length));
    loss_sum += loss * num_targets;
  }
  const seconds = (performance.now() - start) / 1000;
  const { user, system } = process.cpuUsage(used);
  const others_share = (secondsOfOthers() - others) / seconds / cpus().length;
  const summary = profile?.close();
  const num_targets = countTargets(samples);
  return {
    kernels: engine.kernels.length,
    threads: engine.threads,
    num_samples: samples.length,
    num_tokens: rows.reduce((a, b) => a + b, 0),
    num_equivalent_tokens: samples.reduce((sum, { input_ids }) => sum + input_ids.length - 1, 0),
    num_targets,
    largest_batch_tokens: Math.max(...rows),
    seconds,
    cpu_seconds: (user + system) / 1e6,
    others_share,
    peak_memory_bytes: memoryOf('VmHWM') - loaded,
    loaded_memory_bytes: loaded,
    mean_loss: loss_sum / num_targets,
    ...(summary ? { overhead: summary.overhead } : {}),
  };
}

process.stdout.write(`${JSON.stringify(await measure(readSamples(options.samples)))}\n`);
