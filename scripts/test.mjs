// npm test: sets everything up, lints, runs vitest without tests/real. With --real (npm run test:real): tests/real alone.
// Other arguments go to vitest: `npm test -- tests/core`.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build, root } from './bootstrap/steps.mjs';
import { bootstrap, runAsProgram } from './bootstrap.mjs';
import { lint } from './lint.mjs';
import { removeReport, summaryLine, writeReport } from './reports.mjs';

const isReal = process.argv.includes('--real');
const part = isReal ? 'test_real' : 'test';
const extra = process.argv.slice(2).filter((arg) => arg !== '--real');

/** Counts from vitest's own report; a file that could not be loaded counts as one failure. */
function countTests(path) {
  if (!existsSync(path)) return { passed: 0, failed: 1, skipped: 0 };
  const report = JSON.parse(readFileSync(path, 'utf8'));
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

function runVitest() {
  const output = join(build, 'reports', `vitest_${part}.json`);
  mkdirSync(dirname(output), { recursive: true });
  rmSync(output, { force: true });
  // One file at a time: two of them would share the cores and the memory.
  const selection = isReal ? ['tests/real/', '--no-file-parallelism'] : ['--exclude', 'tests/real/**'];
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${output}`];
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...selection, ...reporters, ...extra],
    { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
  );
  const counts = countTests(output);
  return status === 0 || counts.failed > 0 ? counts : { ...counts, failed: 1 };
}

removeReport(part);
await runAsProgram(async () => {
  await bootstrap();
  const lintFailures = isReal ? 0 : lint();
  const counts = runVitest();
  counts.failed += lintFailures;
  writeReport(part, counts);
  process.stdout.write(`${summaryLine(counts)}\n`);
  process.exitCode = counts.failed === 0 ? 0 : 1;
});
