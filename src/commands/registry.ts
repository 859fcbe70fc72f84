// The verbs: each with its flags, examples and handler. Handlers import their command when they run, so that
// `rocit --help` starts fast. Hyperparameters are never flags: they are keys of the config.
import type { Argv } from 'yargs';

/** Adds one verb to the command line. */
export type Register = (cli: Argv) => void;

const registerFetch: Register = (cli) => {
  cli.command(
    'fetch <name>',
    'Fetch a base model, ready to fine-tune',
    (verb) =>
      verb
        .positional('name', {
          type: 'string',
          demandOption: true,
          describe: 'A model rocit knows, or <org>/<name> on a hub',
        })
        .option('output', { type: 'string', describe: 'Folder to write; checkpoints/base/<name> by default' })
        .option('revision', { type: 'string', describe: 'Branch, tag or commit of a hub repository' })
        .example('$0 fetch smollm2-135m-instruct', 'needs no hub and no account'),
    async ({ name, output, revision }) =>
      await (await import('./fetch.ts')).fetchCommand(name, given({ output, revision })),
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

/** The options that were given: none of them is undefined. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

export const verbs: readonly Register[] = [registerFetch, registerDoctor, registerSchema];
