import { describe, expect, it } from 'vitest';
import { leafPaths } from '../../src/config/mistakes.ts';
import { configJsonSchema, configSchema, type JsonSchema } from '../../src/config/schema.ts';

function leafSchemas(): Map<string, JsonSchema> {
  const root = configJsonSchema().properties ?? {};
  return new Map(
    leafPaths().map((path) => {
      const [section = '', leaf] = path.split('.');
      const outer = root[section] as JsonSchema;
      return [path, leaf === undefined ? outer : (outer.properties?.[leaf] as JsonSchema)];
    }),
  );
}

describe('the schema of the config', () => {
  it('gives every key a meaning and a default', () => {
    const leaves = leafSchemas();
    expect(leaves.size).toBeGreaterThan(30);
    for (const [path, schema] of leaves) {
      expect(schema.description, path).toMatch(/\w/);
      expect(schema, path).toHaveProperty('default');
    }
  });

  it('uses the names of other tools: snake_case, no key twice', () => {
    const paths = leafPaths();
    expect(new Set(paths).size).toBe(paths.length);
    for (const path of paths) expect(path).toMatch(/^[a-z_]+(\.[a-z_]+)?$/);
  });

  it('refuses numbers outside their bounds and takes the bounds themselves', () => {
    const accepts = (section: string, key: string, value: unknown) =>
      configSchema.safeParse({ [section]: { [key]: value } }).success;
    expect(accepts('schedule', 'warmup_ratio', 1)).toBe(true);
    expect(accepts('schedule', 'warmup_ratio', 1.01)).toBe(false);
    expect(accepts('lora', 'lora_dropout', 0.99)).toBe(true);
    expect(accepts('lora', 'lora_dropout', 1)).toBe(false);
    expect(accepts('batching', 'samples_per_step', 1)).toBe(true);
    expect(accepts('batching', 'samples_per_step', 0)).toBe(false);
    expect(accepts('optimizer', 'learning_rate', 0)).toBe(false);
    expect(accepts('optimizer', 'learning_rate', Number.NaN)).toBe(false);
    expect(accepts('training', 'num_epochs', 1.5)).toBe(false);
    expect(accepts('training', 'seed', 2 ** 32)).toBe(false);
    expect(accepts('training', 'max_steps', null)).toBe(true);
  });
});
