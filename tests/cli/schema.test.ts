import { describe, expect, it } from 'vitest';
import { configJsonSchema } from '../../src/config/schema.ts';
import { rocit } from '../support/cli.ts';

describe('rocit schema', () => {
  it('prints the JSON schema of the config, with meanings and defaults', async () => {
    const { code, stdout, stderr } = await rocit(['schema']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(configJsonSchema())));
    expect(JSON.parse(stdout)).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      additionalProperties: false,
      properties: { lora: { properties: { r: { type: 'integer', minimum: 1, default: 16 } } } },
    });
  });
});
