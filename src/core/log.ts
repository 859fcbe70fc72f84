// Lines for people, on stderr; results go to stdout and are printed by the commands.
import { styleText } from 'node:util';

const said = new Set<string>();
let beforeLine: () => void = () => {};

function write(text: string): void {
  beforeLine();
  process.stderr.write(`${text}\n`);
}

function paint(format: Parameters<typeof styleText>[0], text: string): string {
  return process.stderr.isTTY ? styleText(format, text) : text;
}

export const log = {
  info(text: string): void {
    write(text);
  },
  warn(text: string): void {
    write(paint('yellow', `warning: ${text}`));
  },
  /** Says a text once in the life of the process for each key. */
  once(key: string, text: string): void {
    if (said.has(key)) return;
    said.add(key);
    write(text);
  },
};

/** A progress bar registers here how to clear itself before a line is written. */
export function clearBeforeLine(clear: () => void): void {
  beforeLine = clear;
}
