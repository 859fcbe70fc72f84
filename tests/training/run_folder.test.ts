import { mkdirSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  clearRun,
  finishedSteps,
  holdsRun,
  linkStep,
  openRunFolder,
  prune,
  recoverSteps,
  stepName,
} from '../../src/training/run_folder.ts';
import { userErrorOf } from '../checkpoint/user_error.ts';
import { temporaryFolder } from '../support/temporary.ts';

const root = temporaryFolder();
const folder = join(root, 'run');

function addSteps(...steps: number[]): void {
  for (const step of steps) addFolder(stepName(step), `step ${step}`);
}

function addFolder(name: string, content: string): void {
  mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, name, 'adapter_model.safetensors'), content);
}

const names = () => readdirSync(folder).sort();

beforeEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('finishedSteps', () => {
  it('lists whole checkpoints in the order of steps, also beyond six digits', () => {
    expect(finishedSteps(folder)).toEqual([]);
    addSteps(100, 20, 1234567);
    addFolder('.step_000120.tmp-1', 'half');
    addFolder('step_x', 'not ours');
    expect(finishedSteps(folder)).toEqual([20, 100, 1234567]);
  });

  it('brings back a checkpoint whose replacement was killed halfway, and drops the old one when the new is there', () => {
    addSteps(2);
    addFolder('.step_000001.replaced', 'the only one');
    addFolder('.step_000002.replaced', 'the older one');
    expect(finishedSteps(folder)).toEqual([2]);
    recoverSteps(folder);
    expect(finishedSteps(folder)).toEqual([1, 2]);
    expect(names()).toEqual(['step_000001', 'step_000002']);
  });
});

describe('openRunFolder', () => {
  it('makes the folder, and takes one that holds no run', () => {
    openRunFolder(folder, { resume: false, overwrite: false });
    writeFileSync(join(folder, 'notes.txt'), '');
    openRunFolder(folder, { resume: false, overwrite: false });
    expect(names()).toEqual(['notes.txt']);
  });

  it('takes one whose run ended before its first step', () => {
    mkdirSync(folder);
    writeFileSync(join(folder, 'metrics.jsonl'), '{"step":0,"epoch":0,"eval_loss":2}\n');
    expect(holdsRun(folder)).toBe(false);
    openRunFolder(folder, { resume: false, overwrite: false });
  });

  it.each([
    ['a checkpoint', () => addSteps(1)],
    [
      'metrics of a step',
      () => [mkdirSync(folder), writeFileSync(join(folder, 'metrics.jsonl'), '{"step":1,"loss":2}\n')],
    ],
    ['a checkpoint that was put aside', () => addFolder('.step_000001.replaced', '')],
  ])('refuses one with %s unless it is resumed or overwritten', (_, fill) => {
    fill();
    expect(holdsRun(folder)).toBe(true);
    expect(userErrorOf(() => openRunFolder(folder, { resume: false, overwrite: false }), root)).toMatchInlineSnapshot(
      `"<folder>/run: expected an empty output_dir, got one that holds a run; continue it with --resume, replace it with --overwrite, or choose another output_dir."`,
    );
    openRunFolder(folder, { resume: true, overwrite: false });
    openRunFolder(folder, { resume: false, overwrite: true });
  });
});

describe('clearRun', () => {
  it('removes what a run wrote and nothing else', () => {
    addSteps(1, 2);
    linkStep(folder, 'best', 1);
    linkStep(folder, 'last', 2);
    addFolder('.step_000003.tmp-99', 'half');
    const theirs = ['notes.txt', 'step_notes', '.hidden', 'step_1.txt'];
    for (const name of ['metrics.jsonl', 'config.yaml', ...theirs]) writeFileSync(join(folder, name), '');
    clearRun(folder);
    expect(names()).toEqual(theirs.sort());
  });
});

describe('linkStep', () => {
  it('points at a step by a relative link and moves it at once', () => {
    addSteps(1, 2);
    linkStep(folder, 'last', 1);
    linkStep(folder, 'last', 2);
    expect(readlinkSync(join(folder, 'last'))).toBe('step_000002');
    expect(names()).toEqual(['last', 'step_000001', 'step_000002']);
  });
});

describe('prune', () => {
  it('keeps the newest and the best', () => {
    addSteps(1, 2, 3, 4, 5);
    prune(folder, 2, 1);
    expect(finishedSteps(folder)).toEqual([1, 4, 5]);
  });

  it('counts the best among the newest where it is one of them', () => {
    addSteps(1, 2, 3);
    prune(folder, 2, 3);
    expect(finishedSteps(folder)).toEqual([2, 3]);
  });

  it('removes what killed saves left, of any process', () => {
    addSteps(1);
    addFolder('.step_000002.tmp-1', 'half');
    writeFileSync(join(folder, '.metrics.jsonl.tmp-12'), '');
    writeFileSync(join(folder, '.lock'), '');
    prune(folder, 1, null);
    expect(names()).toEqual(['.lock', 'step_000001']);
  });
});
