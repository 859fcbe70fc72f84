// Wrong configs, tried as a user tries them: the whole of stderr, nothing on stdout, exit code 2.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { rocit } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary.ts';

const folder = temporaryFolder();

/** stderr of a verb on a config that must fail as the user's mistake. */
async function mistake(verb: string, yaml: string, ...rest: string[]): Promise<string> {
  writeFileSync(join(folder, 'run.yaml'), yaml);
  const { code, stdout, stderr } = await rocit([verb, 'run.yaml', ...rest], { cwd: folder });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  return stderr;
}

describe('a wrong config', () => {
  it('unknown keys are named with the nearest known one', async () => {
    expect(await mistake('train', 'lora: { rank: 8 }\n', 'training.epochs=2')).toMatchInlineSnapshot(`
      "run.yaml: expected a valid config, got 2 mistakes; \`rocit schema\` lists every key.
        lora.rank (file): expected a known key, got an unknown one; did you mean lora.r?
        training.epochs (command line): expected a known key, got an unknown one; did you mean training.num_epochs?
      "
    `);
  });

  it('a wrong type names what was expected and what came', async () => {
    expect(await mistake('train', 'optimizer: { learning_rate: fast }\n')).toMatchInlineSnapshot(`
      "run.yaml: expected a valid config, got a mistake; \`rocit schema\` lists every key.
        optimizer.learning_rate (file): expected a number > 0 and <= 1, got "fast". Peak learning rate of AdamW.
      "
    `);
  });

  it('a value out of range names the bound', async () => {
    expect(await mistake('prepare', '', 'schedule.warmup_ratio=1.5')).toMatchInlineSnapshot(`
      "run.yaml: expected a valid config, got a mistake; \`rocit schema\` lists every key.
        schedule.warmup_ratio (command line): expected a number >= 0 and <= 1, got 1.5. Share of the steps with a linear warm-up.
      "
    `);
  });

  it('the head and the embeddings are refused by name', async () => {
    expect(await mistake('train', 'lora: { target_modules: [q_proj, lm_head] }\n')).toMatchInlineSnapshot(`
      "run.yaml: expected a valid config, got a mistake; \`rocit schema\` lists every key.
        lora.target_modules (file): expected linear layers of the decoder, got lm_head; leave out the head and the embeddings, which stay frozen.
      "
    `);
  });

  it('a flag that is a key of the config is no flag', async () => {
    expect(await mistake('train', '', '--learning-rate', '1')).toMatchInlineSnapshot(`
      "command line: expected known flags and key=value, got learning-rate; \`rocit --help\` lists verbs and flags.
      "
    `);
  });

  it('an override without = is told how to write it', async () => {
    expect(await mistake('score', '', 'lora.r')).toMatchInlineSnapshot(`
      "command line: expected key=value, got lora.r; write e.g. lora.r=8.
      "
    `);
  });

  it('a missing config file is named', async () => {
    const { code, stderr } = await rocit(['train', 'none.yaml'], { cwd: folder });
    expect(code).toBe(2);
    expect(stderr).toMatchInlineSnapshot(`
      "none.yaml: expected a config file, got no such file; check the path.
      "
    `);
  });

  it('text that is not YAML is found by line and column', async () => {
    expect(await mistake('train', 'lora:\n  r: 1\n r: 2\n')).toMatchInlineSnapshot(`
      "run.yaml:3:1: expected YAML, got text that does not parse (All mapping items must start at the same column); mend that line.
      "
    `);
  });

  it('resume and overwrite exclude each other', async () => {
    expect(await mistake('train', '', '--resume', '--overwrite')).toMatchInlineSnapshot(`
      "command line: Arguments resume and overwrite are mutually exclusive; \`rocit --help\` lists verbs and flags.
      "
    `);
  });

  it.each(['prepare', 'train', 'score'])(
    '%s: a missing base model is named with the command that gets it',
    async (verb) => {
      const stderr = await mistake(verb, 'model: { base: smollm2-135m-instruct }\n');
      expect(stderr.trimEnd().split('\n').at(-1)).toBe(
        'model.base: expected checkpoints/base/smollm2-135m-instruct, got no such folder; run `rocit fetch smollm2-135m-instruct` first.',
      );
    },
  );
});
