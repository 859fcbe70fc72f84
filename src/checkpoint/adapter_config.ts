// adapter_config.json of PEFT: the keys rocit writes, and which settings of others' adapters it can compute.
import { UserError } from '../core/errors.ts';
import { isObject } from '../core/json.ts';

export interface LoraConfig {
  r: number;
  lora_alpha: number;
  lora_dropout: number;
  target_modules: string[];
  use_rslora: boolean;
}

export interface PeftConfig extends Omit<LoraConfig, 'target_modules'> {
  base_model_name_or_path: string | null;
  /** Null where a rule says more than a list of names can: the modules are then those that have tensors. */
  target_modules: string[] | null;
}

/** Initialisations that leave the base weights as they are; all others change them, so the adapter alone is not enough. */
const PLAIN_INITS = [true, false, 'gaussian', 'orthogonal', 'eva'];

/** Keys that must be empty (null, false, {} or []), as anything else changes the forward pass. */
const MUST_BE_EMPTY = [
  'alora_invocation_tokens',
  'alpha_pattern',
  'arrow_config',
  'fan_in_fan_out',
  'kasa_config',
  'layer_replication',
  'lora_bias',
  'megatron_config',
  'modules_to_save',
  'monteclora_config',
  'rank_pattern',
  'target_parameters',
  'trainable_token_indices',
  'use_bdlora',
  'use_dora',
  'use_qalora',
  'velora_config',
];

/** The whole adapter_config.json in PEFT's order of keys (alphabetical). */
export function peftConfig(config: LoraConfig, base_model_name_or_path: string): Record<string, unknown> {
  return {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path,
    bias: 'none',
    exclude_modules: null,
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: config.lora_alpha,
    lora_bias: false,
    lora_dropout: config.lora_dropout,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    peft_type: 'LORA',
    r: config.r,
    rank_pattern: {},
    revision: null,
    target_modules: [...config.target_modules].sort(),
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: config.use_rslora,
  };
}

/** Checks a config that was read; every setting that rocit cannot honour is in one UserError. */
export function checkAdapterConfig(path: string, config: unknown): PeftConfig {
  if (!isObject(config)) throw new UserError(`${path}: expected an object, got other JSON; restore it.`);
  const {
    r,
    lora_alpha,
    lora_dropout = 0,
    use_rslora = false,
    target_modules,
    base_model_name_or_path = null,
  } = config;
  const faults = [
    ...differs(config, 'peft_type', ['LORA']),
    ...differs(config, 'task_type', ['CAUSAL_LM', null, undefined]),
    ...differs(config, 'bias', ['none', undefined]),
    ...differs(config, 'init_lora_weights', [...PLAIN_INITS, null, undefined]),
    ...differs(config, 'use_rslora', [true, false, null, undefined]),
    ...MUST_BE_EMPTY.filter((key) => !isEmpty(config[key])).map((key) => shown(config, key)),
    ...(isPositiveInteger(r) ? [] : [shown(config, 'r')]),
    ...(typeof lora_alpha === 'number' ? [] : [shown(config, 'lora_alpha')]),
    ...(isModules(target_modules) ? [] : [shown(config, 'target_modules')]),
  ];
  if (faults.length > 0) {
    throw new UserError(
      `${path}: expected a plain LoRA of a causal language model, got ${faults.join(', ')}; rocit cannot use this adapter.`,
    );
  }
  return {
    r: Number(r),
    lora_alpha: Number(lora_alpha),
    lora_dropout: Number(lora_dropout),
    use_rslora: use_rslora === true,
    target_modules: isList(target_modules) && hasNoRule(config) ? target_modules : null,
    base_model_name_or_path: typeof base_model_name_or_path === 'string' ? base_model_name_or_path : null,
  };
}

function differs(config: Record<string, unknown>, key: string, allowed: unknown[]): string[] {
  return allowed.includes(config[key]) ? [] : [shown(config, key)];
}

function shown(config: Record<string, unknown>, key: string): string {
  return `${key}: ${JSON.stringify(config[key]) ?? 'nothing'}`;
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}

function isPositiveInteger(value: unknown): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value > 0;
}

function isModules(value: unknown): boolean {
  return typeof value === 'string' || isList(value);
}

function isList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

function hasNoRule(config: Record<string, unknown>): boolean {
  return isEmpty(config.exclude_modules) && isEmpty(config.layers_to_transform);
}
