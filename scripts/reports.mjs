// Counts of the test parts in build/reports/<part>.json, so that .ci/run can sum them. Run as a program with the names
// of parts and their exit codes (`test=0 test_native=1`) it prints the summed line and fails when anything failed.
import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, writeWhole } from './bootstrap/steps.mjs';

function reportPath(part) {
  return join(build, 'reports', `${part}.json`);
}

export function removeReport(part) {
  rmSync(reportPath(part), { force: true });
}

export function writeReport(part, counts) {
  writeWhole(reportPath(part), `${JSON.stringify(counts)}\n`);
}

export function summaryLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** The counts of a part; one that broke without counting a failure, or without a report, is one failure. */
function readReport(part, exitCode) {
  const path = reportPath(part);
  const counts = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : { passed: 0, failed: 0, skipped: 0 };
  const isBroken = counts.failed === 0 && (exitCode !== 0 || !existsSync(path));
  return isBroken ? { ...counts, failed: 1 } : counts;
}

function sumParts(args) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const arg of args) {
    const [part, exitCode] = arg.split('=');
    const counts = readReport(part, Number(exitCode));
    process.stdout.write(`${part}: ${summaryLine(counts)}\n`);
    for (const name of Object.keys(sum)) sum[name] += counts[name];
  }
  return sum;
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const sum = sumParts(process.argv.slice(2));
  process.stdout.write(`${summaryLine(sum)}\n`);
  process.exitCode = sum.failed === 0 ? 0 : 1;
}
