// The settings under `lora` of a run that starts from an adapter: the adapter's, but for what the user set.
import { loadAdapter } from '../checkpoint/adapter.ts';
import { adapterFolder } from '../checkpoint/adapter_folder.ts';
import type { LoadedConfig } from '../config/load.ts';
import { configText } from '../config/text.ts';

const KEYS = ['r', 'lora_alpha', 'lora_dropout', 'target_modules', 'use_rslora'] as const;

/**
 * The config with what the adapter says where the user said nothing. What both say and differs is an error of the
 * set-up (setup.ts).
 * @throws UserError when there is no adapter, or one that rocit cannot use
 */
export function withAdapterSettings(loaded: LoadedConfig): LoadedConfig {
  const { config, origins } = loaded;
  const folder = adapterFolder(config.model.adapter);
  if (folder === null) return loaded;
  const given = loadAdapter(folder).config;
  const free = KEYS.filter((key) => origins.get(`lora.${key}`) === 'default');
  const lora = { ...config.lora, ...Object.fromEntries(free.map((key) => [key, given[key]])) };
  const taken = new Map([...origins, ...free.map((key) => [`lora.${key}`, 'adapter'] as const)]);
  const resolved = { ...config, lora };
  return { config: resolved, origins: taken, text: configText(resolved, taken) };
}
