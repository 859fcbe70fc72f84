import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openMetrics } from '../../src/training/metrics.ts';
import { temporaryFolder } from '../support/temporary.ts';

const folder = temporaryFolder();
const path = join(folder, 'metrics.jsonl');
const text = () => readFileSync(path, 'utf8');
const row = (step: number) => ({ step, epoch: 0, eval_loss: 1 });
const line = (step: number) => `${JSON.stringify(row(step))}\n`;

beforeEach(() => rmSync(path, { force: true }));

describe('metrics.jsonl', () => {
  it('grows by a line a row', () => {
    const metrics = openMetrics(folder, 0);
    expect([metrics.lines(), text()]).toEqual([0, '']);
    metrics.append(row(0));
    metrics.append(row(1));
    expect([metrics.lines(), text()]).toEqual([2, line(0) + line(1)]);
  });

  it('is cut back to the lines a checkpoint had seen, also in the middle of a line', () => {
    writeFileSync(path, `${line(0)}${line(1)}${line(2)}{"step": 3, "los`);
    const metrics = openMetrics(folder, 2);
    metrics.append(row(2));
    expect([metrics.lines(), text()]).toEqual([3, line(0) + line(1) + line(2)]);
  });

  it('goes on with what is left when lines are missing', () => {
    writeFileSync(path, line(0));
    expect([openMetrics(folder, 5).lines(), text()]).toEqual([1, line(0)]);
    rmSync(path);
    expect([openMetrics(folder, 5).lines(), text()]).toEqual([0, '']);
  });
});
