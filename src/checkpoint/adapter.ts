// LoRA adapters as PEFT folders: adapter_model.safetensors and adapter_config.json, written and read.
// Format: https://huggingface.co/docs/peft/developer_guides/checkpoint
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { readJsonFile, writeFileAtomic } from '../core/files.ts';
import { readFloats, scope, type Tensor } from '../engine/tensor.ts';
import { checkAdapterConfig, type LoraConfig, peftConfig } from './adapter_config.ts';
import { compareTensors, readNamed } from './hf_folder.ts';
import {
  bytesOf,
  readSafetensorsHeader,
  type TensorInfo,
  type TensorToWrite,
  writeSafetensors,
} from './safetensors.ts';

export type { LoraConfig };

/** A pair of one linear: A [R, in], B [out, R]. */
export interface LoraPair<T> {
  A: T;
  B: T;
}

export interface Adapter {
  path: string;
  config: LoraConfig & { base_model_name_or_path: string | null };
  /** By module path, e.g. `model.layers.0.self_attn.q_proj`. */
  tensors: Map<string, LoraPair<TensorInfo>>;
}

const WEIGHTS = 'adapter_model.safetensors';
const CONFIG = 'adapter_config.json';
const PREFIX = 'base_model.model.';

/** Writes both files of an adapter into a folder that exists; float32, the same input gives the same bytes. */
export function saveAdapter(
  folder: string,
  adapter: {
    weights: ReadonlyMap<string, LoraPair<Tensor>>;
    config: LoraConfig;
    base_model_name_or_path: string;
  },
): void {
  const tensors = [...adapter.weights].flatMap(([module, pair]) =>
    (['A', 'B'] as const).map(
      (side): TensorToWrite => ({
        name: `${PREFIX}${module}.lora_${side}.weight`,
        dtype: 'F32',
        shape: pair[side].shape,
        data: () => bytesOf(readFloats(pair[side])),
      }),
    ),
  );
  writeSafetensors(join(folder, WEIGHTS), tensors, { format: 'pt' });
  const config = peftConfig(adapter.config, adapter.base_model_name_or_path);
  writeFileAtomic(join(folder, CONFIG), `${JSON.stringify(config, null, 2)}\n`);
}

/** Opens an adapter, also one that PEFT wrote; what rocit cannot compute exactly is refused, all of it in one error. */
export function loadAdapter(folder: string): Adapter {
  if (!existsSync(join(folder, CONFIG))) {
    throw new UserError(`${folder}: expected a PEFT adapter, got a folder without ${CONFIG}; check the path.`);
  }
  const config = checkAdapterConfig(
    join(folder, CONFIG),
    readJsonFile(join(folder, CONFIG), 'the config of an adapter'),
  );
  if (!existsSync(join(folder, WEIGHTS)) && existsSync(join(folder, 'adapter_model.bin'))) {
    throw new UserError(`${folder}: expected ${WEIGHTS}, got adapter_model.bin; save the adapter as safetensors.`);
  }
  const tensors = pairs(folder, readSafetensorsHeader(join(folder, WEIGHTS)).tensors, config.r);
  const { r, lora_alpha, lora_dropout, use_rslora, base_model_name_or_path } = config;
  const target_modules = config.target_modules ?? [...tensors.keys()];
  return {
    path: folder,
    config: { r, lora_alpha, lora_dropout, target_modules, use_rslora, base_model_name_or_path },
    tensors,
  };
}

/**
 * Puts an adapter's weights on the device, float32, after comparing it with the linears it is for
 * (module path → [out, in]). An adapter of another base is one UserError that lists every difference.
 */
export function loadAdapterTensors(
  adapter: Adapter,
  linears: ReadonlyMap<string, readonly [number, number]>,
): Map<string, LoraPair<Tensor>> {
  const found = new Map<string, TensorInfo>();
  const expected = new Map<string, number[]>();
  for (const [module, { A, B }] of adapter.tensors) found.set(`${module}.lora_A`, A).set(`${module}.lora_B`, B);
  for (const [module, [out, input]] of linears) {
    if (!adapter.tensors.has(module) && !isTarget(module, adapter.config.target_modules)) continue;
    expected.set(`${module}.lora_A`, [adapter.config.r, input]).set(`${module}.lora_B`, [out, adapter.config.r]);
  }
  const faults = compareTensors(found, expected);
  if (faults.length > 0) {
    const base = adapter.config.base_model_name_or_path ?? 'an unnamed base';
    throw new UserError(
      `${adapter.path}: expected an adapter of this base model, got one of ${base}: ${faults.join('; ')}; choose the base it was trained on.`,
    );
  }
  return scope(() => {
    const load = ({ A, B }: LoraPair<TensorInfo>) => ({ A: readNamed(A, 'float32'), B: readNamed(B, 'float32') });
    return new Map([...adapter.tensors].map(([module, pair]) => [module, load(pair)]));
  });
}

/** PEFT's rule for a list: the equal name, or `.name` at the end. */
function isTarget(module: string, targets: readonly string[]): boolean {
  return targets.some((name) => module === name || module.endsWith(`.${name}`));
}

/** Groups the tensors of an adapter file by module and checks that each has A [r, in] and B [out, r]. */
function pairs(folder: string, tensors: Map<string, TensorInfo>, r: number): Map<string, LoraPair<TensorInfo>> {
  const found = new Map<string, Partial<LoraPair<TensorInfo>>>();
  const faults: string[] = [];
  for (const info of tensors.values()) {
    const [, module = '', side] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(info.name) ?? [];
    if (side !== 'A' && side !== 'B') faults.push(`a tensor ${info.name}`);
    else found.set(module, { ...found.get(module), [side]: info });
  }
  const whole = new Map<string, LoraPair<TensorInfo>>();
  for (const [module, { A, B }] of found) {
    if (!A || !B) faults.push(`${module} without lora_${A ? 'B' : 'A'}`);
    else if (A.shape.length !== 2 || B.shape.length !== 2 || A.shape[0] !== r || B.shape[1] !== r) {
      faults.push(`${module} with A [${A.shape.join(', ')}] and B [${B.shape.join(', ')}]`);
    } else whole.set(module, { A, B });
  }
  if (whole.size === 0 && faults.length === 0) faults.push('no tensors');
  if (faults.length === 0) return whole;
  throw new UserError(
    `${join(folder, WEIGHTS)}: expected lora_A [${r}, in] and lora_B [out, ${r}] for each module, got ${faults.join('; ')}; use a plain LoRA adapter.`,
  );
}
