// Everything a run needs, opened and checked: engine, data, base model, adapters, plan.
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { UserError } from '../core/errors.ts';
import { sha256File } from '../core/files.ts';
import { type PreparedData, prepare } from '../data/prepare.ts';
import type { PrepareProgress } from '../data/prepare_options.ts';
import type { PreparedSplit } from '../data/prepared.ts';
import { startEngine } from '../engine/runtime.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { loadAdapterInto, loadModel, resolveBase } from '../models/load.ts';
import { addLora, type LoraSettings } from '../nn/lora.ts';
import { fingerprintModel, type Identity } from './identity.ts';
import { planRun, type RunPlan } from './plan.ts';

export interface Setup {
  /** Folder of the base model. */
  base: string;
  data: PreparedData & { eval: PreparedSplit };
  model: CausalLM;
  lora: LoraSettings;
  identity: Identity;
  plan: RunPlan;
}

/** Opens all of it; nothing is written but the prepared data. The model carries fresh or given adapters. */
export async function setUp(config: Config, onPrepare: (progress: PrepareProgress) => void): Promise<Setup> {
  const base = resolveBase(config.model.base);
  const engine = await startEngine();
  const { seed, num_epochs, max_steps } = config.training;
  const data = await prepare({ data: config.data, tokenizer_folder: base, seed, onProgress: onPrepare });
  if (data.eval === null) throw new Error('the config holds nothing out');
  const model = loadModel(base, { dtype: config.model.dtype });
  if (config.data.max_seq_length > model.max_position_embeddings) {
    throw new UserError(
      `data.max_seq_length: expected at most the base model's ${model.max_position_embeddings} positions, got ${config.data.max_seq_length}; lower it.`,
    );
  }
  const lora = await adaptersOf(config, model);
  return {
    base,
    data: { ...data, eval: data.eval },
    model,
    lora,
    identity: { settings: config, inputs: await inputsOf(config, base, data), engine },
    plan: planRun(data.train, { ...config.batching, seed, num_epochs, max_steps }),
  };
}

/** A given adapter keeps its own rank, scaling and targets; dropout is the run's. */
async function adaptersOf({ model: { adapter }, lora, training }: Config, model: CausalLM): Promise<LoraSettings> {
  if (adapter === null) {
    addLora(model.linears, lora, training.seed);
    return lora;
  }
  return loadAdapterInto(model, adapter, lora.lora_dropout);
}

async function inputsOf({ model }: Config, base: string, data: PreparedData): Promise<Identity['inputs']> {
  return {
    base: fingerprintModel(base),
    adapter: model.adapter === null ? null : await sha256File(join(model.adapter, 'adapter_model.safetensors')),
    tokenizer: data.tokenizer.hash,
    train: data.train.hash,
    eval: data.eval?.hash ?? null,
  };
}
