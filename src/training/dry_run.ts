// What a run would be, without running it: steps, packs, memory, and a duration measured on one small micro-batch.
import type { Config } from '../config/schema.ts';
import { seconds } from '../core/clock.ts';
import { packStep } from '../data/pack.ts';
import type { PrepareProgress } from '../data/prepare_options.ts';
import { loraParameters } from '../nn/lora.ts';
import { estimateMemory, type MemoryEstimate } from './memory_estimate.ts';
import { setUp } from './setup.ts';
import { initialOptimizerState, trainStep } from './step.ts';

export interface DryRun {
  steps: number;
  samples: number;
  /** Micro-batches of all steps, and the share of `max_tokens_per_pack` they fill. */
  packs: number;
  fill: number;
  tokens: number;
  targets: number;
  trainable_parameters: number;
  memory: MemoryEstimate;
  /** Measured on one micro-batch of about PROBE_TOKENS tokens. */
  tokens_per_second: number;
  /** Training alone, and all evaluations, in seconds. */
  training_seconds: number;
  evaluation_seconds: number;
}

/** Large enough to be worth its overhead, small enough to take seconds on a CPU. */
const PROBE_TOKENS = 512;
/** A forward alone against forward and backward. */
const EVALUATION_SPEEDUP = 3;

export async function dryRun(config: Config, onPrepare: (progress: PrepareProgress) => void): Promise<DryRun> {
  const { model, data, plan } = await setUp(config, onPrepare);
  const counts = { samples: 0, packs: 0, tokens: 0, targets: 0, longest: 0 };
  for (let step = 1; step <= plan.totalSteps; step++) {
    const packs = packStep(plan.samplesOf(step).samples, config.packing);
    counts.packs += packs.length;
    for (const pack of packs) {
      counts.samples += pack.num_samples;
      counts.tokens += pack.input_ids.length;
      counts.targets += pack.edge_rows.length;
      counts.longest = Math.max(counts.longest, pack.input_ids.length);
    }
  }
  const { samples, packs, tokens, targets, longest } = counts;
  const memory = estimateMemory(model, longest, config.training.recompute);
  const rate = await measure(config, model, data.train);
  const evaluations = 2 + Math.floor((plan.totalSteps - 1) / config.training.eval_steps);
  return {
    ...{ steps: plan.totalSteps, samples, packs, tokens, targets },
    fill: tokens / (packs * config.packing.max_tokens_per_pack),
    trainable_parameters: [...loraParameters(model.linears).values()].reduce((sum, t) => sum + t.size, 0),
    memory,
    tokens_per_second: rate,
    training_seconds: tokens / rate,
    evaluation_seconds: (evaluations * (data.eval.stats.tokens - data.eval.numSamples)) / (rate * EVALUATION_SPEEDUP),
  };
}

type Opened = Awaited<ReturnType<typeof setUp>>;

/** Tokens a second of one step on a few samples; the model is thrown away afterwards. */
async function measure(config: Config, model: Opened['model'], split: Opened['data']['train']): Promise<number> {
  const samples = [split.sample(0)];
  const lengths = () => samples.reduce((sum, { input_ids }) => sum + input_ids.length - 1, 0);
  while (samples.length < split.numSamples && lengths() < PROBE_TOKENS) samples.push(split.sample(samples.length));
  const packs = packStep(samples, config.packing);
  const step = () =>
    trainStep(packs, {
      model,
      optimizer: initialOptimizerState(model),
      settings: config.optimizer,
      learning_rate: config.optimizer.learning_rate,
      recompute: config.training.recompute,
      seed: config.training.seed,
      onProgress: () => {},
    });
  await step();
  const started = seconds();
  await step();
  return lengths() / (seconds() - started);
}
