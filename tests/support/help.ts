// Reads the help texts of the command line, so that tests see what a user sees.

/** The verbs in `rocit --help`, sorted. */
export function verbNames(help: string): string[] {
  return [...help.matchAll(/^ {2}rocit (\w+)/gm)].map((match) => match[1] ?? '').sort();
}

/** The flags in `rocit <verb> --help`, less --help and --version, sorted. Fails on a flag without a meaning. */
export function helpFlags(help: string): string[] {
  const options = help.split('\nOptions:\n')[1]?.split('\n\n')[0] ?? '';
  const rows = [...options.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)(.*)$/gm)];
  for (const [row, , rest = ''] of rows) if (!/^\s+[A-Z]/.test(rest)) throw new Error(`no meaning: ${row}`);
  const flags = rows.map((row) => row[1] ?? '');
  return flags.filter((flag) => flag !== '--help' && flag !== '--version').sort();
}
