// A checkpoint of a run: adapter, optimizer and progress in one folder that appears whole or not at all.
import { copyFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { saveAdapter } from '../checkpoint/adapter.ts';
import { type ModelCard, modelCard } from '../checkpoint/model_card.ts';
import { loadRunState, saveRunState } from '../checkpoint/run_state.ts';
import { UserError } from '../core/errors.ts';
import { writeFileAtomic, writeFolderAtomic } from '../core/files.ts';
import { own, type Tensor } from '../engine/tensor.ts';
import type { CausalLM } from '../models/causal_lm.ts';
import { loadAdapterInto } from '../models/load.ts';
import { type LoraSettings, loraParameters, targetPaths } from '../nn/lora.ts';
import { checkIdentity, type Identity } from './identity.ts';
import { type Progress, parseRunState, runStateOf } from './progress.ts';
import { linkStep, prune, stepFolder } from './run_folder.ts';
import type { OptimizerState } from './step.ts';

/** What every checkpoint of a run repeats. */
export interface CheckpointContext {
  folder: string;
  model: CausalLM;
  optimizer: OptimizerState;
  identity: Identity;
  lora: LoraSettings;
  base: string;
  save_total_limit: number;
  /** Files of the tokenizer, copied as they are. */
  tokenizerFiles: readonly string[];
  /** The prompt template as stored: `rocit generate` reads it back. */
  promptTemplate: unknown;
  card: (progress: Progress) => ModelCard;
}

/** Writes `step_…`, then points `last` and `best` at what they mean now, then removes what is no longer kept. */
export async function saveCheckpoint(context: CheckpointContext, progress: Progress): Promise<void> {
  const { folder, model, optimizer, identity, lora, base } = context;
  await writeFolderAtomic(stepFolder(folder, progress.step), async (temporary) => {
    const weights = new Map([...model.linears].flatMap(([path, linear]) => (linear.lora ? [[path, linear.lora]] : [])));
    const config = { ...lora, target_modules: targetNames(model, lora) };
    saveAdapter(temporary, { weights, config, base_model_name_or_path: base });
    saveRunState(temporary, {
      state: runStateOf(progress, identity),
      tensors: momentTensors(optimizer),
    });
    writeFileAtomic(join(temporary, 'prompt_template.json'), `${JSON.stringify(context.promptTemplate, null, 2)}\n`);
    writeFileAtomic(join(temporary, 'README.md'), modelCard(context.card(progress)));
    for (const file of context.tokenizerFiles) copyFileSync(file, join(temporary, basename(file)));
  });
  settle(context, progress);
}

/** Links and prunes for a checkpoint that is on disk; also after a kill between the two. */
export function settle(
  { folder, save_total_limit }: { folder: string; save_total_limit: number },
  progress: Progress,
): void {
  linkStep(folder, 'last', progress.step);
  if (progress.best !== null) linkStep(folder, 'best', progress.best.step);
  prune(folder, save_total_limit, progress.best?.step ?? null);
}

/** PEFT's spelling: the distinct last parts of the paths. */
function targetNames(model: CausalLM, lora: LoraSettings): string[] {
  const names = targetPaths(model.linears, lora.target_modules).map((path) => path.split('.').at(-1) as string);
  return [...new Set(names)].sort();
}

function momentTensors({ m, v }: OptimizerState): Map<string, Tensor> {
  const named = (moments: Map<string, Tensor>, kind: string) =>
    [...moments].map(([name, t]) => [`${name}.${kind}`, t] as const);
  return new Map([...named(m, 'exp_avg'), ...named(v, 'exp_avg_sq')]);
}

export interface Restored {
  progress: Progress;
  optimizer: OptimizerState;
}

/**
 * Puts a checkpoint's adapter on the model and returns the rest of its state. UserError where the run that is to go on
 * (`now`) is another one.
 */
export function loadCheckpoint(folder: string, step: number, model: CausalLM, now: Identity): Restored {
  const path = stepFolder(folder, step);
  const { state, tensors } = loadRunState(path);
  const { progress, identity } = parseRunState(state, join(path, 'run_state.json'));
  checkIdentity(folder, identity, now);
  loadAdapterInto(model, path);
  const moments = (kind: string) =>
    new Map(
      [...loraParameters(model.linears).keys()].map((name) => {
        const t = tensors.get(`${name}.${kind}`);
        if (t === undefined)
          throw new UserError(
            `${path}/run_state.safetensors: expected ${name}.${kind}, got no such tensor; remove this folder and resume from the step before.`,
          );
        return [name, own(t)] as const;
      }),
    );
  return {
    progress,
    optimizer: { step: progress.step, m: moments('exp_avg'), v: moments('exp_avg_sq') },
  };
}
