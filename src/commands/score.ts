// rocit score: the loss of each held-out sample by the base model or an adapter, a JSON line each, in file order.

import { adapterFolder } from '../checkpoint/adapter_folder.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { seconds } from '../core/clock.ts';
import { UserError } from '../core/errors.ts';
import { log } from '../core/log.ts';
import { type PreparedData, prepare } from '../data/prepare.ts';
import type { PreparedSplit } from '../data/prepared.ts';
import type { TokenizedSample } from '../data/sample.ts';
import { startEngine } from '../engine/runtime.ts';
import { adapterTemplate, templateDifference } from '../inference/adapter_template.ts';
import { type ScoredSample, scoreSamples } from '../inference/score.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { loadAdapterInto, loadModel, resolveBase } from '../models/load.ts';
import { startBar } from './progress_bar.ts';

export interface ScoreOptions {
  /** A PEFT folder, a run folder or `none`; `model.adapter` of the config when left out. */
  adapter?: string;
}

/** Prints the lines on stdout; a summary and the progress go to stderr. */
export async function scoreCommand(
  path: string,
  overrides: readonly string[],
  { adapter }: ScoreOptions,
): Promise<void> {
  const { config } = loadConfig(path, overrides);
  const folder = adapterFolder(adapter ?? config.model.adapter);
  const base = resolveBase(config.model.base);
  await startEngine();
  const model = loadModel(base, config.model);
  if (folder !== null) loadAdapterInto(model, folder);
  log.info(`Scoring ${base} ${folder === null ? 'without adapter' : `with ${folder}`}.`);
  const data = await prepareData(config, base);
  warnOfTemplate(folder, data);
  if (data.eval === null)
    throw new UserError('data.eval_split: expected a held-out split, got none; set it, or data.eval_fraction.');
  await scoreSplit(model, data.eval, config);
}

async function prepareData(config: Config, base: string): Promise<PreparedData> {
  const bar = startBar('preparing');
  try {
    return await prepare({
      data: config.data,
      tokenizer_folder: base,
      seed: config.training.seed,
      onProgress: ({ bytes, total_bytes }) => bar.update(bytes / Math.max(1, total_bytes)),
    });
  } finally {
    bar.stop();
  }
}

function warnOfTemplate(folder: string | null, { template }: PreparedData): void {
  const stored = adapterTemplate(folder);
  const difference = stored === null ? null : templateDifference(stored, template);
  if (difference !== null) {
    log.warn(
      `${folder}: the adapter was trained with another prompt template than the config's (${difference}); its losses will be too high.`,
    );
  }
}

async function scoreSplit(model: CausalLM, split: PreparedSplit, config: Config): Promise<void> {
  const bar = startBar('scoring');
  const started = seconds();
  const totals = { samples: 0, tokens: 0, equivalent: 0, targets: 0, loss: 0 };
  const onPack = (tokens: number) => {
    totals.tokens += tokens;
  };
  try {
    for await (const scored of scoreSamples(model, samplesOf(split), { ...config.packing, onPack })) {
      process.stdout.write(`${JSON.stringify(lineOf(scored, config.data.source))}\n`);
      totals.samples += 1;
      totals.equivalent += scored.sample.input_ids.length - 1;
      totals.targets += scored.num_targets;
      totals.loss += scored.loss_sum;
      bar.update(totals.samples / split.numSamples, `${totals.samples}/${split.numSamples} samples`);
    }
  } finally {
    bar.stop();
  }
  const took = seconds() - started;
  log.info(
    `${totals.samples} samples, ${totals.targets} targets: mean loss ${(totals.loss / totals.targets).toFixed(4)} a target; ` +
      `${took.toFixed(1)} s, ${Math.round(totals.tokens / took)} tokens/s, ${Math.round(totals.equivalent / took)} equivalent tokens/s.`,
  );
}

function* samplesOf(split: PreparedSplit): Generator<TokenizedSample> {
  for (let i = 0; i < split.numSamples; i++) yield split.sample(i);
}

function lineOf({ sample, num_targets, loss_sum }: ScoredSample, source: Config['data']['source']): object {
  const { role, question, answer_index, row } = sample;
  if (source === 'chat_jsonl') return { row, answer_index, num_targets, loss_sum };
  return { role, question, answer_index, num_targets, loss_sum };
}
