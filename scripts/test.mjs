// npm test: sets everything up, lints, runs vitest without tests/real. With --real (npm run test:real): tests/real alone.
// Other arguments go to vitest: `npm test -- tests/core`.
import { bootstrap, runAsProgram } from './bootstrap.mjs';
import { lint } from './lint.mjs';
import { removeReport, summaryLine, writeReport } from './reports.mjs';
import { runVitest } from './vitest.mjs';

const isReal = process.argv.includes('--real');
const part = isReal ? 'test_real' : 'test';
const extra = process.argv.slice(2).filter((arg) => arg !== '--real');

// One file at a time on the real model: two of them would share the cores and the memory.
const selection = isReal ? ['tests/real/', '--no-file-parallelism'] : ['--exclude', 'tests/real/**'];

removeReport(part);
await runAsProgram(async () => {
  await bootstrap();
  const lintFailures = isReal ? 0 : lint();
  const counts = runVitest(part, [...selection, ...extra]);
  counts.failed += lintFailures;
  writeReport(part, counts);
  process.stdout.write(`${summaryLine(counts)}\n`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
});
