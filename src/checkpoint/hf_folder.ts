// A model folder as Hugging Face lays it out: config.json and one safetensors file, or shards with an index.
import { existsSync, readdirSync } from 'node:fs';
import { isAbsolute, join, normalize } from 'node:path';
import { UserError } from '../core/errors.ts';
import { readJsonFile } from '../core/files.ts';
import { isObject } from '../core/json.ts';
import { readTensor } from '../engine/ops/read_tensor.ts';
import { scope, type Tensor } from '../engine/tensor.ts';
import { readSafetensorsHeader, type TensorInfo } from './safetensors.ts';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const MAX_LISTED = 40;

export interface HfFolder {
  path: string;
  /** config.json as it stands. */
  config: Record<string, unknown>;
  tensors: Map<string, TensorInfo>;
  /** Paths of the safetensors files. */
  files: string[];
}

export interface LoadOptions {
  dtype: 'float32' | 'bfloat16';
  /** Names that may be there without being expected, e.g. LLaMA-1's `rotary_emb.inv_freq`. */
  ignore?: readonly RegExp[];
}

/** Opens a folder: reads its config and the headers of its weights, not the weights. */
export function openHfFolder(path: string): HfFolder {
  if (!existsSync(path)) {
    throw new UserError(`${path}: expected a model folder, got no such folder; check the path or run rocit fetch.`);
  }
  const config = readJsonFile(join(path, 'config.json'), 'the config of a model');
  if (!isObject(config)) throw new UserError(`${path}/config.json: expected an object, got other JSON; restore it.`);
  refuseQuantised(path, config);
  const single = join(path, SINGLE);
  if (existsSync(single)) {
    return { path, config, tensors: readSafetensorsHeader(single).tensors, files: [single] };
  }
  if (existsSync(join(path, INDEX))) return { path, config, ...openShards(path) };
  throw new UserError(
    `${path}: expected ${SINGLE} or ${INDEX}, got ${otherWeights(path)}; save the model as safetensors.`,
  );
}

/** @throws UserError for weights that are stored in fewer bits, by config.json's `quantization_config` */
function refuseQuantised(path: string, { quantization_config: settings }: Record<string, unknown>): void {
  if (!isObject(settings)) return;
  const bits = [settings.bits, settings.load_in_4bit === true ? 4 : null, settings.load_in_8bit === true ? 8 : null];
  const width = bits.find((value) => typeof value === 'number');
  const method = `${settings.quant_method ?? 'an unnamed method'}${width === undefined ? '' : `, ${width} bits`}`;
  throw quantised(`${path}/config.json`, `${method} (quantization_config)`);
}

function quantised(place: string, how: string): UserError {
  return new UserError(
    `${place}: expected a base model in float32, float16 or bfloat16, got a quantised one: ${how}; ` +
      'use the original model, from which it was made.',
  );
}

/** Names that quantised weights have, whatever config.json says. */
const QUANTISED_NAME =
  /\.(qweight|qzeros|scales|g_idx|weight_scale(_inv)?|weight_packed|SCB|absmax|quant_map|quant_state\..+)$/;

function otherWeights(path: string): string {
  const found = readdirSync(path).filter((name) => /\.(bin|pth?|ckpt|h5|gguf|safetensors)$/.test(name));
  return found.length > 0 ? found.sort().join(', ') : 'no weights';
}

/** Reads the headers of all shards; what the index and the files disagree on is one error. */
function openShards(path: string): { tensors: Map<string, TensorInfo>; files: string[] } {
  const index = readJsonFile(join(path, INDEX), 'an index of shards');
  const map = isObject(index) ? index.weight_map : undefined;
  if (!isObject(map)) throw new UserError(`${path}/${INDEX}: expected a weight_map, got none; fetch the model again.`);
  const names = [...new Set(Object.values(map).map(String))].sort();
  const outside = names.filter((name) => isAbsolute(name) || normalize(name).startsWith('..'));
  const absent = names.filter((name) => !outside.includes(name) && !existsSync(join(path, name)));
  const faults = [...faultList('files outside the folder', outside), ...faultList('files that are missing', absent)];
  if (faults.length > 0) throw indexFault(path, faults);

  const shards = new Map(names.map((name) => [name, readSafetensorsHeader(join(path, name)).tensors]));
  const tensors = new Map<string, TensorInfo>();
  const lost: string[] = [];
  for (const [tensor, shard] of Object.entries(map)) {
    const info = shards.get(String(shard))?.get(tensor);
    if (info) tensors.set(tensor, info);
    else lost.push(`${tensor} (in ${String(shard)})`);
  }
  if (lost.length > 0) throw indexFault(path, faultList('tensors that their files lack', lost));
  for (const shard of shards.values()) {
    for (const [name, info] of shard) if (!tensors.has(name)) tensors.set(name, info);
  }
  return { tensors, files: names.map((name) => join(path, name)) };
}

function indexFault(path: string, faults: string[]): UserError {
  return new UserError(
    `${path}/${INDEX}: expected an index of the shards beside it, got ${faults.join('; ')}; fetch the model again.`,
  );
}

/**
 * Puts the expected tensors (name → shape) on the device in `dtype`. Tensors that are missing, unexpected, of another
 * shape or not of floats are all in one UserError; so is, with tensor and file, a value that is not finite.
 */
export function loadTensors(
  folder: HfFolder,
  expected: ReadonlyMap<string, readonly number[]>,
  options: LoadOptions,
): Map<string, Tensor> {
  const { dtype, ignore = [] } = options;
  const faults = compareTensors(folder.tensors, expected, ignore);
  const coded = [...folder.tensors.values()].filter(
    (info) => QUANTISED_NAME.test(info.name) || (expected.has(info.name) && info.dtype === 'U8'),
  );
  if (coded[0] !== undefined && faults.length > 0) {
    throw quantised(folder.path, `${coded.length} tensors like ${coded[0].name} of ${coded[0].dtype}`);
  }
  if (faults.length > 0) {
    throw new UserError(
      `${folder.path}: expected the tensors of its config.json, got ${faults.join('; ')}; check that config and weights belong together.`,
    );
  }
  return scope(() => {
    const loaded = new Map<string, Tensor>();
    for (const name of expected.keys()) loaded.set(name, readNamed(folder.tensors.get(name) as TensorInfo, dtype));
    return loaded;
  });
}

/** What differs between the tensors found and those expected, as phrases; none when all is well. */
export function compareTensors(
  found: ReadonlyMap<string, TensorInfo>,
  expected: ReadonlyMap<string, readonly number[]>,
  ignore: readonly RegExp[] = [],
): string[] {
  const missing = [...expected.keys()].filter((name) => !found.has(name));
  const unexpected = [...found.keys()].filter((name) => !expected.has(name) && !ignore.some((rule) => rule.test(name)));
  const others = [...expected].flatMap(([name, shape]) => {
    const info = found.get(name);
    if (!info) return [];
    if (!isFloat(info)) return [`${name} of ${info.dtype}`];
    const isSame = shape.join() === info.shape.join();
    return isSame ? [] : [`${name} [${info.shape.join(', ')}] for [${shape.join(', ')}]`];
  });
  return [...faultList('missing', missing), ...faultList('unexpected', unexpected), ...faultList('mis-shaped', others)];
}

/** The phrase `what (count): name, name, …`, or nothing for no names. */
function faultList(what: string, names: string[]): string[] {
  if (names.length === 0) return [];
  const rest = names.length > MAX_LISTED ? `, … and ${names.length - MAX_LISTED} more` : '';
  return [`${what} (${names.length}): ${names.slice(0, MAX_LISTED).join(', ')}${rest}`];
}

function isFloat(info: TensorInfo): info is TensorInfo & { dtype: 'F32' | 'F16' | 'BF16' } {
  return info.dtype === 'F32' || info.dtype === 'F16' || info.dtype === 'BF16';
}

/** One tensor on the device; a fault in its data names it. */
export function readNamed(info: TensorInfo, dtype: 'float32' | 'bfloat16'): Tensor {
  if (!isFloat(info)) throw new Error(`${info.name}: ${info.dtype} is no float`);
  const { path, offset, shape } = info;
  try {
    return readTensor({ path, offset, source_dtype: info.dtype, shape, dtype });
  } catch (error) {
    if (error instanceof UserError) throw new UserError(`tensor ${info.name} of ${error.message}`);
    throw error;
  }
}
