// npm run lint: Biome with zero warnings, strict TypeScript over src and tests. Other scripts import `lint`.
import { spawnSync } from 'node:child_process';
import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './bootstrap/steps.mjs';
import { bootstrap, runAsProgram } from './bootstrap.mjs';

const checks = [
  ['biome', ['@biomejs/biome/bin/biome', 'check', '--error-on-warnings']],
  ['tsc on tests', ['typescript/bin/tsc', '-p', 'tests/tsconfig.json', '--noEmit']],
];

/** Runs every check and returns how many failed. The types of src are checked by the bootstrap, which compiles it. */
export function lint() {
  let failed = 0;
  for (const [name, [program, ...args]] of checks) {
    const command = [join(root, 'node_modules', program), ...args];
    const { status } = spawnSync(process.execPath, command, { cwd: root, stdio: 'inherit' });
    if (status === 0) continue;
    failed += 1;
    process.stderr.write(`lint: expected ${name} without findings, got exit code ${status}.\n`);
  }
  return failed;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await runAsProgram(async () => {
    await bootstrap();
    process.exitCode = lint() === 0 ? 0 : 1;
  });
}
