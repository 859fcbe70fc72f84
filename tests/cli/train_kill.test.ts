// kill -9 of the real process at seeded moments; afterwards --resume must end with the same bytes as a run that nobody
// disturbed. What each kill hit is read from what the dead process had printed and left in its folder.
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../src/core/rng.ts';
import type { CliResult } from '../support/cli.ts';
import { comparable, namesIn, type TinyRun, tinyRun, untilStderr } from '../training/tiny_run.ts';

/** What kills aim at; each of these must have been hit. */
const AIMED = ['saving', 'evaluation', 'step'] as const;
const AIMS = [...AIMED, 'anything'] as const;
type Aim = (typeof AIMS)[number];
type Phase = 'start' | 'step' | 'evaluation' | 'saving';

const KILLS = 24;
/** Milliseconds that a kill comes after the event it waited for, at most. */
const SPREAD: Record<Aim, number> = { saving: 20, evaluation: 60, step: 60, anything: 3000 };
/** A process may save so many checkpoints before it is killed. */
const MOST_SAVES = 2;
const EVAL_STEPS = 5;
/** The steps of the run that are evaluated, as text. */
const EVALUATED = '\\d*[05]';
/** 90 steps: a process is killed after a few, so that most kills fall into one run. */
const EPOCHS = 15;
/** Hits of each phase at least; more kills follow where the machine was too slow for the aim. */
const LEAST = 3;
const MOST_KILLS = 36;
const TIME_LIMIT = 240_000;

describe('kill -9 at any moment', () => {
  const run = tinyRun(
    { training: { num_epochs: EPOCHS, eval_steps: EVAL_STEPS, save_steps: 2 } },
    { train: 36, test: 24 },
  );

  it(
    `${KILLS} kills, then --resume: adapter, run state and metrics are those of an undisturbed run, bit for bit`,
    async () => {
      expect(await run.train(['output_dir=undisturbed'])).toMatchObject({ code: 0, stdout: 'undisturbed\n' });
      const expected = comparable(run.at('undisturbed'));
      const hits: Record<Phase, number> = { start: 0, step: 0, evaluation: 0, saving: 0 };
      let finished = 0;
      const missing = () => AIMED.find((phase) => hits[phase] < LEAST);
      for (let kill = 0; kill < KILLS || (missing() !== undefined && kill < MOST_KILLS); ) {
        const folder = `run_${finished}`;
        const { outcome, pid } = await killOnce(
          run,
          folder,
          kill,
          kill < KILLS ? (AIMS[kill % AIMS.length] as Aim) : (missing() as Aim),
        );
        if (outcome.signal === 'SIGKILL') {
          hits[isSaving(run.at(folder), pid) ? 'saving' : phaseOf(outcome)] += 1;
          kill += 1;
        } else {
          expect(outcome).toMatchObject({ code: 0 });
          compare(run.at(folder), expected);
          finished += 1;
        }
      }
      const final = await run.train([`output_dir=run_${finished}`, '--resume']);
      expect(final).toMatchObject({ code: 0 });
      compare(run.at(`run_${finished}`), expected);
      console.log(`kills by phase: ${JSON.stringify(hits)}; runs that were finished and compared: ${finished + 1}`);
      expect(missing()).toBeUndefined();
    },
    TIME_LIMIT,
  );
});

/** Everything equal, and nothing left of the killed processes. */
function compare(folder: string, expected: unknown): void {
  expect(comparable(folder)).toEqual(expected);
  const links = ['best', 'last'].map((name) => readlinkSync(join(folder, name)));
  expect(namesIn(folder)).toEqual(expect.arrayContaining([...links, 'best', 'config.yaml', 'last', 'metrics.jsonl']));
  expect(namesIn(folder).filter((name) => name.startsWith('.'))).toEqual([]);
}

/** Starts or resumes the run and kills it at the moment that belongs to the number of the kill. */
async function killOnce(
  run: TinyRun,
  folder: string,
  kill: number,
  aim: Aim,
): Promise<{ outcome: CliResult; pid: number }> {
  const rng = createRng(1, 'kill', kill);
  const started = run.start([`output_dir=${folder}`, '--resume']);
  const pid = started.process.pid ?? 0;
  let isOver = false;
  void started.done.then(() => {
    isOver = true;
  });
  try {
    await momentOf(aim, started, rng.int(MOST_SAVES + 1), () => isOver || isSaving(run.at(folder), pid));
    await sleep(rng.next() * SPREAD[aim]);
  } catch {
    // It ended before the moment came.
  }
  started.process.kill('SIGKILL');
  return { outcome: await started.done, pid };
}

/** A checkpoint, a link or a folder about to be removed lies under the process's temporary name. */
function isSaving(folder: string, pid: number): boolean {
  return namesIn(folder).some((name) => /^\.(step_\d+|best|last)\./.test(name) && name.endsWith(`.tmp-${pid}`));
}

/** Waits until so many checkpoints were saved, then for what the kill aims at. */
async function momentOf(
  aim: Aim,
  started: ReturnType<TinyRun['start']>,
  saves: number,
  isOverOrSaving: () => boolean,
): Promise<void> {
  if (aim === 'anything') return;
  const saved = `(?:[^]*?: saved\\n){${saves}}`;
  if (aim === 'evaluation') await untilStderr(started, new RegExp(`${saved}[^]*?step ${EVALUATED}/`));
  else await untilStderr(started, saves > 0 ? new RegExp(saved) : /held-out loss .*\n|continuing after/);
  if (aim === 'saving') while (!isOverOrSaving()) await sleep(0);
}

/** What the process was doing when it died, by what it had printed; a save between steps counts as a step. */
function phaseOf({ stderr }: CliResult): Phase {
  if (!/\d+ steps\n|continuing after/.test(stderr)) return 'start';
  const lines = stderr.trimEnd().split('\n');
  const last = lines.at(-1) ?? '';
  const stepDone = /^step (\d+)\/(\d+) /.exec(last);
  const isEvaluating = stepDone !== null ? Number(stepDone[1]) % EVAL_STEPS === 0 : /^\d+ steps$/.test(last);
  return isEvaluating ? 'evaluation' : 'step';
}
