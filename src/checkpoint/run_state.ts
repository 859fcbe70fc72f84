// The state of a run beside its adapter: run_state.safetensors (optimizer tensors, float32) and run_state.json
// (what training wants back; src/training/progress.ts says what that is).
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { readJsonFile, writeFileAtomic } from '../core/files.ts';
import { isObject } from '../core/json.ts';
import { readFloats, scope, type Tensor } from '../engine/tensor.ts';
import { readNamed } from './hf_folder.ts';
import { bytesOf, readSafetensorsHeader, writeSafetensors } from './safetensors.ts';

const TENSORS = 'run_state.safetensors';
const STATE = 'run_state.json';

/** Anything JSON can hold. */
export type RunState = Record<string, unknown>;

/** Writes both files into a folder that exists; the same input gives the same bytes. */
export function saveRunState(folder: string, run: { state: RunState; tensors: ReadonlyMap<string, Tensor> }): void {
  const tensors = [...run.tensors].map(([name, value]) => ({
    name,
    dtype: 'F32' as const,
    shape: value.shape,
    data: () => bytesOf(readFloats(value)),
  }));
  writeSafetensors(join(folder, TENSORS), tensors);
  writeFileAtomic(join(folder, STATE), `${JSON.stringify(run.state, null, 2)}\n`);
}

/** Reads both files; the tensors come back float32 on the device, bit for bit as they were saved. */
export function loadRunState(folder: string): { state: RunState; tensors: Map<string, Tensor> } {
  const state = readRunState(folder);
  const { tensors } = readSafetensorsHeader(join(folder, TENSORS));
  return scope(() => ({
    state,
    tensors: new Map([...tensors].map(([name, info]) => [name, readNamed(info, 'float32')])),
  }));
}

/** Reads run_state.json alone. */
export function readRunState(folder: string): RunState {
  const state = readJsonFile(join(folder, STATE), 'the state of a run');
  if (!isObject(state)) throw new UserError(`${join(folder, STATE)}: expected an object, got other JSON; restore it.`);
  return state;
}
