import { describe, expect, it } from 'vitest';
import * as rocit from '../src/index.ts';

describe('the public API', () => {
  it('is this list of names; removing one breaks somebody', () => {
    expect(Object.keys(rocit).sort()).toMatchInlineSnapshot(`
      [
        "BadRow",
        "Interrupted",
        "UserError",
        "answerPrompt",
        "baseModelFolder",
        "baseModelNames",
        "configJsonSchema",
        "configSchema",
        "configText",
        "createPromptEncoder",
        "dryRun",
        "fetchBaseModel",
        "generate",
        "loadAdapter",
        "loadAdapterInto",
        "loadConfig",
        "loadModel",
        "loadTokenizer",
        "openHfFolder",
        "packStep",
        "planEpoch",
        "prepare",
        "promptTemplate",
        "readPromptTemplate",
        "readSafetensorsHeader",
        "requestStop",
        "resolveBase",
        "saveAdapter",
        "scoreSamples",
        "startEngine",
        "stopIds",
        "train",
        "writeSafetensors",
      ]
    `);
  });

  it('is what the package exports under its own name', async () => {
    const name = 'rocit';
    const published: unknown = await import(name);
    expect(Object.keys(published as object).sort()).toEqual(Object.keys(rocit).sort());
  });
});
