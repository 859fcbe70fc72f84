// From a Hugging Face folder to a model on the device, and adapters onto it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadAdapter, loadAdapterTensors } from '../checkpoint/adapter.ts';
import { baseModelFolder, baseModelNames } from '../checkpoint/base_models.ts';
import { type HfFolder, loadTensors, openHfFolder } from '../checkpoint/hf_folder.ts';
import { UserError } from '../core/errors.ts';
import { own } from '../engine/tensor.ts';
import { attachLora, type LoraSettings } from '../nn/lora.ts';
import type { CausalLM } from './causal_lm.ts';
import { createLlama, ignoredTensors, parseConfig, tensorShapes } from './llama.ts';

type Dtype = 'float32' | 'bfloat16';

/** One entry a model family, by config.json's `model_type`. */
const FAMILIES: Record<string, (folder: HfFolder, dtype: Dtype) => CausalLM> = {
  llama(folder, dtype) {
    const config = parseConfig(folder.config, join(folder.path, 'config.json'));
    return createLlama(config, loadTensors(folder, tensorShapes(config), { dtype, ignore: ignoredTensors(config) }));
  },
};

/** The folder of `model.base`: a path, or the name of a model that `rocit fetch` knows. UserError when it is not there. */
export function resolveBase(base: string): string {
  if (existsSync(base)) return base;
  const known = baseModelNames().find((name) => name === base || baseModelFolder(name) === base);
  if (known === undefined) {
    throw new UserError(
      `model.base: expected a model folder or one of ${baseModelNames().join(', ')}, got ${base}; check the path or fetch the model.`,
    );
  }
  if (existsSync(baseModelFolder(known))) return baseModelFolder(known);
  throw new UserError(
    `model.base: expected ${baseModelFolder(known)}, got no such folder; run \`rocit fetch ${known}\` first.`,
  );
}

/** Loads the frozen weights in `dtype`. UserError where the folder, its config or a tensor is wrong. */
export function loadModel(path: string, { dtype }: { dtype: Dtype }): CausalLM {
  const folder = openHfFolder(path);
  const family = FAMILIES[String(folder.config.model_type)];
  if (family === undefined) {
    throw new UserError(
      `${path}/config.json: expected model_type ${Object.keys(FAMILIES).join(' or ')}, got ${folder.config.model_type}; this family is not supported.`,
    );
  }
  const model = family(folder, dtype);
  // Weights outlive whatever scope the caller loads them in.
  model.weights.forEach(own);
  return model;
}

/**
 * Puts a PEFT adapter on its layers and returns its settings, with another dropout where one is given. UserError for
 * an adapter of another base.
 */
export function loadAdapterInto(model: CausalLM, folder: string, lora_dropout?: number): LoraSettings {
  const adapter = loadAdapter(folder);
  const settings = { ...adapter.config, lora_dropout: lora_dropout ?? adapter.config.lora_dropout };
  const shapes = [...model.linears].map(
    ([path, { weight }]) => [path, weight.shape as readonly [number, number]] as const,
  );
  attachLora(model.linears, settings, loadAdapterTensors(adapter, new Map(shapes)));
  return settings;
}
