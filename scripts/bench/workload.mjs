// What a bench measures: the samples of both programs, and the settings that go with them.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, SetupError } from '../bootstrap/steps.mjs';
import { exportSamples, LARGEST_BATCH, samplesOf, sortByLength, spread, spreadBatches } from './samples.mjs';

const ALL_LINEAR = { lora_dropout: 0, target_modules: 'all-linear', use_rslora: false };
const MODEL = 'checkpoints/base/smollm2-135m-instruct';

/** As many as are taken in whole batches of any size. */
const wholeBatches = (count) => LARGEST_BATCH * Math.ceil(count / LARGEST_BATCH);

/**
 * `ours` and `theirs` are timed, PEFT's setting is searched on `searched`, `all` are there to choose
 * from for memory; `gated` names the figures that hold for these rows, or is null.
 */
export async function workload(options) {
  const { samples, strategy, r, tokens, quick } = options;
  const given = { r: r ?? 16, max_tokens: tokens ?? 2048, model: options.model ?? MODEL };
  if (samples !== undefined)
    return unshared(sortByLength(samplesOf(readFileSync(samples, 'utf8'))), samples, options, given);
  const { path, overrides } = configOf(options);
  const { loadConfig } = await import('../../dist/config/load.js');
  const { resolveBase } = await import('../../dist/models/load.js');
  const { config } = loadConfig(path, overrides);
  const model = options.model ?? resolveBase(config.model.base);
  if (strategy !== 'tree') {
    return unshared(sortByLength(exportSamples(['--train'], path, overrides)), path, options, { ...given, model });
  }
  const { samples_per_step } = config.batching;
  const steps = Math.ceil((options.count ?? (quick ? 1 : 2) * samples_per_step) / samples_per_step);
  const ours = exportSamples(['--steps', String(steps)], path, overrides);
  const all = sortByLength(ours);
  return {
    ...{ source: path, gated: gatedAs(config.data), model, ours, all, steps },
    theirs: spreadBatches(all, options.peft_count ?? (quick ? 16 : 32)),
    searched: spreadBatches(all, LARGEST_BATCH),
    ...{ lora: loraOf(config.lora, r), max_tokens: tokens ?? config.packing.max_tokens_per_pack },
    samples_per_step: wholeBatches(samples_per_step),
  };
}

/** One step of samples spread over the lengths, the same for both. */
function unshared(all, source, { count, quick, strategy }, { r, max_tokens, model }) {
  const timed = spread(all, count ?? (quick ? 16 : 32));
  return {
    ...{
      source,
      gated: strategy === 'tree' ? null : 'unshared',
      model,
      all,
      steps: null,
      ours: timed,
      theirs: timed,
      searched: timed,
    },
    ...{ lora: { r, lora_alpha: 2 * r, ...ALL_LINEAR }, max_tokens, samples_per_step: wholeBatches(timed.length) },
  };
}

function configOf({ positionals }) {
  const known = existsSync(join(root, 'data/rolebench')) ? 'rolebench_smollm2' : 'sample_smollm2';
  const isConfig = positionals.length > 0 && !positionals[0].includes('=');
  const [path, overrides] = isConfig ? [positionals[0], positionals.slice(1)] : [`configs/${known}.yaml`, positionals];
  return { path, overrides };
}

/** The settings of the config, in as far as PEFT's side of the bench knows them. */
function loraOf(lora, r = lora.r) {
  for (const [key, expected] of Object.entries(ALL_LINEAR)) {
    if (lora[key] === expected) continue;
    throw new SetupError(`lora.${key}: expected ${expected}, which both programs are timed with, got ${lora[key]}.`);
  }
  return { ...lora, r };
}

function gatedAs({ source, language, kinds, answers }) {
  if (source !== 'rolebench' || answers !== 'all') return null;
  if (language === 'zh') return kinds.length === 2 ? 'zh' : null;
  return kinds.join() === 'role_specific' ? 'eng' : null;
}
