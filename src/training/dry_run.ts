// What a run would be, without running it: steps, packs, memory, and a duration measured on one small micro-batch.
import type { Config } from '../config/schema.ts';
import { seconds } from '../core/clock.ts';
import { packStep } from '../data/pack.ts';
import { type PackingQuality, packingQuality } from '../data/packing_quality.ts';
import type { PrepareProgress } from '../data/prepare_options.ts';
import { loraParameters } from '../nn/lora.ts';
import { evaluationWindows } from './evaluate.ts';
import { estimateMemory, type MemoryEstimate } from './memory_estimate.ts';
import { stepsOf } from './plan.ts';
import { setUp } from './setup.ts';
import { initialOptimizerState, trainStep } from './step.ts';

/** Of all steps together, and: */
export interface DryRun extends PackingQuality {
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
  const quality = packingQuality(stepsOf(plan), config.packing);
  const heldOut = data.eval === null ? 0 : packingQuality(evaluationWindows(data.eval), config.packing).tokens;
  const memory = estimateMemory(model, quality.largest, config.training.recompute);
  const rate = await measure(config, model, data.train);
  const evaluations = 2 + Math.floor((plan.totalSteps - 1) / config.training.eval_steps);
  return {
    ...quality,
    trainable_parameters: [...loraParameters(model.linears).values()].reduce((sum, t) => sum + t.size, 0),
    memory,
    tokens_per_second: rate,
    training_seconds: quality.tokens / rate,
    evaluation_seconds: (evaluations * heldOut) / (rate * EVALUATION_SPEEDUP),
  };
}

type Opened = Awaited<ReturnType<typeof setUp>>;

/** Tokens a second of one step on a few samples; the model is thrown away afterwards. */
async function measure(config: Config, model: Opened['model'], split: Opened['data']['train']): Promise<number> {
  const samples = [split.sample(0)];
  const pack = () => packStep(samples, config.packing);
  const tokens = () => pack().reduce((sum, { input_ids }) => sum + input_ids.length, 0);
  while (samples.length < split.numSamples && tokens() < PROBE_TOKENS) samples.push(split.sample(samples.length));
  const packs = pack();
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
  return tokens() / (seconds() - started);
}
