// The verbs: each with its flags, examples and handler. Handlers import their command when they run, so that
// `rocit --help` starts fast. Hyperparameters are never flags: they are keys of the config.
import type { Argv } from 'yargs';

/** Adds one verb to the command line. */
export type Register = (cli: Argv) => void;

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

export const verbs: readonly Register[] = [registerDoctor, registerSchema];
