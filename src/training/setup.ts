// Everything a run needs, opened and checked: engine, data, base model, adapters, plan.
import { join } from 'node:path';
import { adapterFolder } from '../checkpoint/adapter_folder.ts';
import type { Config } from '../config/schema.ts';
import { UserError } from '../core/errors.ts';
import { sha256File } from '../core/files.ts';
import { type PreparedData, prepare } from '../data/prepare.ts';
import type { PrepareProgress } from '../data/prepare_options.ts';
import { startEngine } from '../engine/runtime.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { loadAdapterInto, loadModel, resolveBase } from '../models/load.ts';
import { addLora, type LoraSettings, targetPaths } from '../nn/lora.ts';
import { fingerprintModel, type Identity } from './identity.ts';
import { planRun, type RunPlan } from './plan.ts';

export interface Setup {
  /** Folder of the base model. */
  base: string;
  data: PreparedData;
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
  const { answer_weight } = config.data;
  const data = await prepare({ data: config.data, tokenizer_folder: base, seed, onProgress: onPrepare });
  const model = loadModel(base, { dtype: config.model.dtype });
  if (config.data.max_seq_length > model.max_position_embeddings) {
    throw new UserError(
      `data.max_seq_length: expected at most the base model's ${model.max_position_embeddings} positions, got ${config.data.max_seq_length}; lower it.`,
    );
  }
  const adapter = adapterFolder(config.model.adapter);
  addAdapters(config, adapter, model);
  return {
    base,
    data,
    model,
    lora: config.lora,
    identity: { settings: config, inputs: await inputsOf(base, adapter, data), engine },
    plan: planRun(data.train, { ...config.batching, seed, num_epochs, max_steps, answer_weight }),
  };
}

/** Fresh adapters, or those of `adapter`, which must be what the config says: the run's papers repeat the config. */
function addAdapters({ lora, training }: Config, adapter: string | null, model: CausalLM): void {
  addLora(model.linears, lora, training.seed);
  if (adapter === null) return;
  const fresh = loraPaths(model);
  const given = loadAdapterInto(model, adapter, lora.lora_dropout);
  // Dropout is no part of the weights, so another one may be set.
  const keys = ['r', 'lora_alpha', 'use_rslora'] as const;
  const wrong = keys.filter((key) => lora[key] !== given[key]).map((key) => `lora.${key}=${given[key]}`);
  const targets = targetPaths(model.linears, given.target_modules);
  if (targets.join() !== fresh.join()) {
    const names = [...new Set(targets.map((path) => path.split('.').at(-1)))];
    wrong.push(`lora.target_modules=[${names.join(', ')}]`);
  }
  if (wrong.length === 0) return;
  throw new UserError(`lora: expected the settings of model.adapter ${adapter}, got others; set ${wrong.join(' ')}.`);
}

function loraPaths(model: CausalLM): string[] {
  return [...model.linears].filter(([, { lora }]) => lora !== null).map(([path]) => path);
}

async function inputsOf(base: string, adapter: string | null, data: PreparedData): Promise<Identity['inputs']> {
  return {
    base: fingerprintModel(base),
    adapter: adapter === null ? null : await sha256File(join(adapter, 'adapter_model.safetensors')),
    tokenizer: data.tokenizer.hash,
    train: data.train.hash,
    eval: data.eval?.hash ?? null,
  };
}
