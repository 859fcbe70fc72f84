// Runs vitest and counts by its own report.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build, root } from './bootstrap/steps.mjs';

export const vitestProgram = join(root, 'node_modules/vitest/vitest.mjs');

/** A file that could not be loaded counts as one failure. */
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

/** One run of vitest, its report in build/reports/vitest_<name>.json, as { passed, failed, skipped }. */
export function runVitest(name, args, env = {}) {
  const output = join(build, 'reports', `vitest_${name}.json`);
  mkdirSync(dirname(output), { recursive: true });
  rmSync(output, { force: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${output}`];
  const { status } = spawnSync(process.execPath, [vitestProgram, 'run', ...args, ...reporters], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  });
  const counts = countTests(output);
  return status === 0 || counts.failed > 0 ? counts : { ...counts, failed: 1 };
}
