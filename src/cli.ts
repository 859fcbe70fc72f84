#!/usr/bin/env node
// The door of the command line: parses the verb, maps what is thrown to exit codes, turns signals into polite stops.
// 0 done · 2 the user's mistake, no stack · 1 a bug, with its stack · 130 / 143 stopped by a signal.
import { readFileSync } from 'node:fs';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { describeFailure, describeMisuse, SIGNAL_CODES } from './commands/failure.ts';
import { verbs } from './commands/registry.ts';
import { UserError } from './core/errors.ts';
import { requestStop } from './core/interrupt.ts';
import { log } from './core/log.ts';

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const value: unknown = JSON.parse(text);
  return typeof value === 'object' && value !== null && 'version' in value ? String(value.version) : 'unknown';
}

/** Prints what was thrown and returns the exit code. */
function report(error: unknown): number {
  const { text, code } = describeFailure(error);
  process.stderr.write(`${text}\n`);
  return code;
}

/** The first signal asks the work to stop at its next breath; the second one ends the process at once. */
function listenForSignals(): void {
  let asked = false;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(SIGNAL_CODES[signal]);
      asked = true;
      log.info(`${signal}: stopping; once more ends at once.`);
      // Of signals that come together the second one is heard before the work begins to stop.
      setTimeout(requestStop, 10, signal);
    });
  }
}

function listenForClosedPipe(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : report(error));
  });
}

/** yargs gathers what is given more than once in a list; only overrides may be one. */
function refuseRepeatedFlags(args: Record<string, unknown>): true {
  const repeated = Object.keys(args).find((name) => name !== '_' && name !== 'overrides' && Array.isArray(args[name]));
  if (repeated === undefined) return true;
  throw new UserError(`command line: expected --${repeated} once, got it more often; leave all but one out.`);
}

async function run(argv: string[]): Promise<void> {
  const cli = yargs(argv)
    .scriptName('rocit')
    .usage('$0 <verb> [config.yaml] [key=value ...]')
    .locale('en')
    .wrap(110)
    .parserConfiguration({ 'boolean-negation': false, 'dot-notation': false })
    .check(refuseRepeatedFlags)
    .strict()
    .recommendCommands()
    .demandCommand(1, 1, 'expected a verb, got none')
    .version(version())
    .epilogue('Results go to stdout, all else to stderr. Exit codes: 0 done, 2 a mistake in the call, 1 a bug.')
    .exitProcess(false)
    .fail((message, error) => {
      // yargs's own findings come as a message alone or as YError; anything else was thrown by a handler.
      if (error !== undefined && error.name !== 'YError') throw error;
      throw new UserError(describeMisuse(message ?? error?.message ?? ''));
    });
  for (const register of verbs) register(cli);
  await cli.parseAsync();
}

listenForSignals();
listenForClosedPipe();
process.on('uncaughtException', (error) => process.exit(report(error)));
try {
  await run(hideBin(process.argv));
} catch (error) {
  process.exit(report(error));
}
