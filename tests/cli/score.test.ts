import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { promptTemplate } from '../../src/data/templates.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { type CliResult, rocit } from '../support/cli.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { TEST_ROWS, writeJsonLines, writeRandomAdapter, writeTinyTask } from '../support/tiny_task.ts';

interface Line {
  role: string;
  question: string;
  answer_index: number;
  num_targets: number;
  loss_sum: number;
}

const folder = temporaryFolder();
const EXPECTED = TEST_ROWS.flatMap(({ role, question, generated }) =>
  generated.map((_, answer_index) => ({ role, question, answer_index })),
);

async function score(...args: string[]): Promise<CliResult> {
  return await rocit(['score', 'config.yaml', ...args], { cwd: folder });
}

function linesOf({ stdout }: CliResult): Line[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

function losses(result: CliResult): number[] {
  return linesOf(result).map(({ loss_sum }) => loss_sum);
}

function expectClose(found: number[], expected: number[]): void {
  expect(found).toHaveLength(expected.length);
  found.forEach((loss, i) => {
    expect(Math.abs(loss / (expected[i] as number) - 1)).toBeLessThan(1e-5);
  });
}

let base: CliResult;

beforeAll(async () => {
  writeTinyTask(folder);
  await startEngine();
  writeRandomAdapter(join(folder, 'tiny'), join(folder, 'run', 'step_000002'));
  symlinkSync('step_000002', join(folder, 'run', 'best'));
  base = await score();
});

describe('rocit score', () => {
  it('prints one line a sample in file order, with the promised keys and nothing else', () => {
    expect(base).toMatchObject({ code: 0, signal: null });
    const lines = linesOf(base);
    expect(lines.map(({ role, question, answer_index }) => ({ role, question, answer_index }))).toEqual(EXPECTED);
    for (const line of lines) {
      expect(Object.keys(line)).toEqual(['role', 'question', 'answer_index', 'num_targets', 'loss_sum']);
      expect(line.num_targets).toBeGreaterThan(1);
      expect(line.loss_sum / line.num_targets).toBeGreaterThan(1);
    }
  });

  it('says on stderr what was scored and how it went', () => {
    expect(base.stderr).toMatch(/^Scoring tiny without adapter\.$/m);
    expect(base.stderr).toMatch(
      /^4 samples, \d+ targets: mean loss \d+\.\d{4} a target; \d+\.\d s, \d+ tokens\/s, \d+ equivalent tokens\/s\.$/m,
    );
  });

  it('gives the same losses in packs of other sizes, and unshared', async () => {
    expectClose(losses(await score('packing.max_tokens_per_pack=1024')), losses(base));
    expectClose(losses(await score('packing.strategy=none')), losses(base));
  });

  it('scores an adapter, that of a run folder, that of the config, and none', async () => {
    const adapted = await score('--adapter', 'run/step_000002');
    expect(adapted.stderr).toContain('Scoring tiny with run/step_000002.');
    losses(adapted).forEach((loss, i) => {
      expect(Math.abs(loss / (losses(base)[i] as number) - 1)).toBeGreaterThan(1e-4);
    });
    const ofRun = await score('--adapter', 'run');
    expect(ofRun.stdout).toBe(adapted.stdout);
    expect(ofRun.stderr).toContain('run: a run folder, its best checkpoint is used (step_000002).');
    expect((await score('model.adapter=run/best')).stdout).toBe(adapted.stdout);
    expect((await score('model.adapter=run/best', '--adapter', 'none')).stdout).toBe(base.stdout);
  });

  it("warns when the adapter was trained with another template than the config's", async () => {
    const other = join(folder, 'other');
    cpSync(join(folder, 'run', 'step_000002'), other, { recursive: true });
    writeFileSync(join(other, 'prompt_template.json'), JSON.stringify(promptTemplate('rolellama', 'zh', null)));
    const { code, stderr } = await score('--adapter', 'other');
    expect(code).toBe(0);
    expect(stderr).toContain(
      "warning: other: the adapter was trained with another prompt template than the config's (rolellama in zh and in eng); its losses will be too high.",
    );
  });

  it('prints the rows of chat data by their number', async () => {
    const turn = (role: string, content: string) => ({ role, content });
    const rows = ['One.', 'Two.'].map((answer) => ({ messages: [turn('user', 'Hm?'), turn('assistant', answer)] }));
    for (const split of ['train', 'test']) writeJsonLines(join(folder, 'chat', `${split}.jsonl`), rows);
    const result = await score('data.source=chat_jsonl', 'data.path=chat');
    expect(linesOf(result).map((line) => Object.keys(line))).toEqual(
      rows.map(() => ['row', 'answer_index', 'num_targets', 'loss_sum']),
    );
    expect(linesOf(result)).toMatchObject([{ row: 1 }, { row: 2 }]);
  });

  it('scores the held-out fraction where there is no held-out split', async () => {
    const result = await score('data.eval_split=null', 'data.eval_fraction=0.5');
    expect(result.code).toBe(0);
    expect(linesOf(result).length).toBeGreaterThan(0);
    expect(linesOf(result).length).toBeLessThan(EXPECTED.length);
  });
});

describe('rocit score: mistakes end with 2 and nothing on stdout', () => {
  it('an adapter of another base', async () => {
    const { code, stdout, stderr } = await score(
      '--adapter',
      inRepository('tests', 'goldens', 'llama_head_dim', 'adapter'),
    );
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(
      /expected an adapter of this base model, got one of tests\/goldens\/llama_head_dim\/model: /,
    );
    expect(stderr).toMatch(/; choose the base it was trained on\.$/m);
  });

  it('an adapter that is not there, and a folder without one', async () => {
    mkdirSync(join(folder, 'empty'), { recursive: true });
    const results = [await score('--adapter', 'nowhere'), await score('--adapter', 'empty')];
    expect(results).toEqual([
      {
        code: 2,
        signal: null,
        stdout: '',
        stderr: 'nowhere: expected an adapter or the folder of a run, got no such folder; check the path.\n',
      },
      {
        code: 2,
        signal: null,
        stdout: '',
        stderr:
          'empty: expected an adapter or the folder of a run, got a folder without adapter_config.json, best and last; check the path.\n',
      },
    ]);
  });

  it('a base model that is not there', async () => {
    const { code, stderr } = await score('model.base=nowhere');
    expect(code).toBe(2);
    expect(stderr).toMatch(/^model\.base: expected a model folder or one of /);
  });
});
