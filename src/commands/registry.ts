// The verbs: each with its flags, examples and handler. Handlers import their command when they run, so that
// `rocit --help` starts fast. Hyperparameters are never flags: they are keys of the config.
import type { Argv } from 'yargs';

/** Adds one verb to the command line. */
export type Register = (cli: Argv) => void;

/** The two positionals of every verb that reads a config. */
function withConfig<T>(verb: Argv<T>) {
  return verb
    .positional('config', {
      type: 'string',
      demandOption: true,
      describe: 'YAML file; see configs/ and `rocit schema`',
    })
    .positional('overrides', {
      type: 'string',
      array: true,
      default: [] as string[],
      describe: 'key=value, the value read as YAML: lora.r=8 data.kinds=[general]',
    });
}

const registerFetch: Register = (cli) => {
  cli.command(
    'fetch <name>',
    'Fetch a base model, ready to fine-tune, or RoleBench',
    (verb) =>
      verb
        .positional('name', {
          type: 'string',
          demandOption: true,
          describe: 'A model rocit knows, rolebench, or <org>/<name> on a hub',
        })
        .option('output', { type: 'string', describe: 'Folder to write; checkpoints/base/<name> by default' })
        .option('revision', { type: 'string', describe: 'Branch, tag or commit of a hub repository' })
        .example('$0 fetch smollm2-135m-instruct', 'needs no hub and no account')
        .example('$0 fetch tiny-random-llama', 'made on the spot, for tests'),
    async ({ name, output, revision }) =>
      await (await import('./fetch.ts')).fetchCommand(name, given({ output, revision })),
  );
};

const registerPrepare: Register = (cli) => {
  cli.command(
    'prepare <config> [overrides..]',
    'Tokenise the data of a config and print what is in it',
    (verb) =>
      withConfig(verb)
        .option('show', {
          type: 'number',
          coerce: wholeNumber('--show'),
          describe: 'Print the text of this many samples, targets coloured',
        })
        .example('$0 prepare configs/sample_smollm2.yaml --show 3', 'what the model will see'),
    async ({ config, overrides, show }) => {
      const [{ loadConfig }, { prepareCommand }] = await Promise.all([
        import('../config/load.ts'),
        import('./prepare.ts'),
      ]);
      await prepareCommand(loadConfig(config, overrides).config, { show: show ?? null });
    },
  );
};

const registerTrain: Register = (cli) => {
  cli.command(
    'train <config> [overrides..]',
    'Fine-tune: writes a run folder with checkpoints that PEFT loads',
    (verb) =>
      withConfig(verb)
        .option('resume', { type: 'boolean', describe: 'Go on from the last checkpoint, bit for bit' })
        .option('overwrite', { type: 'boolean', describe: 'Delete the run in output_dir first' })
        .option('dry-run', {
          type: 'boolean',
          default: false,
          describe: 'Print config, steps, memory and time, no more',
        })
        .option('json', { type: 'boolean', default: false, describe: 'Print one JSON object at the end' })
        .option('profile', { type: 'string', describe: 'Write a Chrome trace here, one bar an operation' })
        .conflicts('resume', 'overwrite')
        .example('$0 train configs/sample_smollm2.yaml', 'a run as the file says')
        .example('$0 train configs/tiny.yaml lora.r=8 training.seed=1', 'with other settings'),
    async ({ config, overrides, resume, overwrite, 'dry-run': dryRun, json, profile }) => {
      const [{ loadConfig }, { trainCommand }] = await Promise.all([import('../config/load.ts'), import('./train.ts')]);
      const options = {
        resume: resume ?? false,
        overwrite: overwrite ?? false,
        dryRun,
        json,
        profile: profile ?? null,
      };
      await trainCommand(loadConfig(config, overrides), options);
    },
  );
};

const registerScore: Register = (cli) => {
  cli.command(
    'score <config> [overrides..]',
    'Print the loss of each held-out sample, a JSON line each',
    (verb) =>
      withConfig(verb)
        .option('adapter', { type: 'string', describe: 'PEFT folder, run folder or none; model.adapter by default' })
        .example('$0 score configs/tiny.yaml --adapter checkpoints/tiny', 'the tuned model, best checkpoint')
        .example('$0 score configs/tiny.yaml --adapter none', 'the base model'),
    async ({ config, overrides, adapter }) =>
      await (await import('./score.ts')).scoreCommand(config, overrides, given({ adapter })),
  );
};

const registerGenerate: Register = (cli) => {
  cli.command(
    'generate <config> [overrides..]',
    "Answer a question in a role's voice",
    (verb) =>
      withConfig(verb)
        .option('role', { type: 'string', demandOption: true, describe: 'Name of the role' })
        .option('question', { type: 'string', demandOption: true, describe: 'What it is asked' })
        .option('adapter', { type: 'string', describe: 'PEFT folder, run folder or none; model.adapter by default' })
        .option('temperature', { type: 'number', default: 0.7, describe: 'Of sampling; 0 takes the likeliest token' })
        .option('top-p', { type: 'number', default: 0.95, describe: 'Samples from the likeliest tokens of this mass' })
        .option('max-new-tokens', { type: 'number', default: 200, describe: 'Longest answer' })
        .option('seed', { type: 'number', default: 0, describe: 'Of sampling' })
        .option('json', { type: 'boolean', default: false, describe: 'Print one JSON object in place of the stream' })
        .example('$0 generate configs/tiny.yaml --role "Hollis Vapour" --question "Who are you?"', ''),
    async ({ config, overrides, adapter, role, question, temperature, seed, json, ...flags }) => {
      const { generateCommand } = await import('./generate.ts');
      const { 'top-p': topP, 'max-new-tokens': maxNewTokens } = flags;
      const options = { role, question, temperature, topP, maxNewTokens, seed, json, ...given({ adapter }) };
      await generateCommand(config, overrides, options);
    },
  );
};

const registerDoctor: Register = (cli) => {
  cli.command(
    'doctor',
    'Show what this machine offers: engine, kernels, processor, memory, GPU, tools',
    (verb) =>
      verb
        .option('json', { type: 'boolean', default: false, describe: 'Print one JSON object' })
        .example('$0 doctor', 'what will run, and what is missing for more speed'),
    async ({ json }) => (await import('./doctor.ts')).doctorCommand({ json }),
  );
};

const registerSchema: Register = (cli) => {
  cli.command(
    'schema',
    'Print the JSON schema of the config, for editors and for looking up keys',
    (verb) => verb.example('$0 schema > rocit.schema.json', 'then: # yaml-language-server: $schema=rocit.schema.json'),
    async () => (await import('./schema.ts')).schemaCommand(),
  );
};

/** Reads a count; the rest of yargs takes every text for a number, as NaN. */
function wholeNumber(flag: string): (value: number | undefined) => number | undefined {
  return (value) => {
    if (value === undefined || (Number.isInteger(value) && value >= 0)) return value;
    throw new Error(`${flag}: expected a whole number from 0 up, got ${value}`);
  };
}

/** The options that were given: none of them is undefined. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

export const verbs: readonly Register[] = [
  registerFetch,
  registerPrepare,
  registerTrain,
  registerScore,
  registerGenerate,
  registerDoctor,
  registerSchema,
];
