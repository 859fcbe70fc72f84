// Which keys of a config were read: the config behind proxies that write down every leaf somebody asked for.
import type { Config } from '../../src/config/schema.ts';

/** Reads by these files copy the whole config, so they say nothing about a key having an effect. */
const COPYING = /\/src\/training\/(identity|card|checkpoint)\.ts/;

export function recordReads(config: Config, read: Set<string>): Config {
  const watch = <T extends object>(target: T, prefix: string): T =>
    new Proxy(target, {
      get(object, key) {
        const value: unknown = Reflect.get(object, key);
        if (typeof key !== 'string') return value;
        const path = prefix + key;
        if (value !== null && typeof value === 'object' && !Array.isArray(value)) return watch(value, `${path}.`);
        if (!COPYING.test(new Error().stack ?? '')) read.add(path);
        return value;
      },
    });
  return watch(config, '');
}
