// Which samples an optimizer step takes. A pure function of its arguments; it knows nothing of packs.
import { createRng } from '../core/rng.ts';
import { WeightedDraw } from './weighted_draw.ts';

/** What the plan needs to know of a split. */
export interface PlanSource {
  numSamples: number;
  /** [numSamples], index of the role. */
  roleIds: Int32Array;
  /** [numSamples] */
  questionIds: Int32Array;
}

export interface PlanSettings {
  samples_per_step: number;
  /** Roles a step draws from, clamped to the roles there are; null is a uniform shuffle. */
  roles_per_step: number | null;
  seed: number;
  /** From 0. */
  epoch: number;
}

/**
 * The sample indices of every step of one epoch, each sample once. With roles_per_step a step draws that many roles, a
 * role as likely as it has samples left, and takes an equal share of whole questions with all their answers from each.
 * It holds at most samples_per_step samples, fewer where none of its roles' next questions has room, and more only for
 * a single question that is larger. More roles enter a step only when those drawn have no samples left.
 */
export function planEpoch(source: PlanSource, settings: PlanSettings): number[][] {
  const { samples_per_step: size, roles_per_step: roles, seed, epoch } = settings;
  const rng = createRng(seed, 'plan', epoch);
  if (roles === null) {
    const order = rng.shuffle(Array.from({ length: source.numSamples }, (_, i) => i));
    return Array.from({ length: Math.ceil(order.length / size) }, (_, i) => order.slice(i * size, (i + 1) * size));
  }
  const queues = questionsByRole(source).map((questions) => rng.shuffle(questions));
  const draw = new WeightedDraw(queues.map((questions) => questions.reduce((sum, { length }) => sum + length, 0)));
  const steps: number[][] = [];
  while (draw.total > 0) steps.push(planStep(queues, draw, size, roles, () => rng.next()));
  return steps;
}

/** Questions, each a list of its samples, by role. */
function questionsByRole({ numSamples, roleIds, questionIds }: PlanSource): number[][][] {
  const roles: Map<number, number[]>[] = [];
  for (let i = 0; i < numSamples; i++) {
    const role = roleIds[i] as number;
    roles[role] ??= new Map();
    const question = questionIds[i] as number;
    const samples = roles[role].get(question);
    if (samples === undefined) roles[role].set(question, [i]);
    else samples.push(i);
  }
  return Array.from(roles, (questions) => [...(questions?.values() ?? [])]);
}

function planStep(
  queues: number[][][],
  draw: WeightedDraw,
  size: number,
  roles: number,
  random: () => number,
): number[] {
  const taken = new Map<number, number[]>();
  const room = Math.min(size, draw.total);
  let missing = room;
  const take = (role: number, share: number) => {
    const queue = queues[role] as number[][];
    const limit = missing === room ? Math.max(room, queue.at(-1)?.length ?? 0) : missing;
    const samples = takeQuestions(queue, share, limit);
    taken.set(role, [...(taken.get(role) ?? []), ...samples]);
    missing -= samples.length;
  };
  const left: [number, number][] = [];
  const isOpen = () => left.length < roles || left.every(([role]) => queues[role]?.length === 0);
  while (missing > 0 && draw.total > 0 && isOpen()) {
    const role = draw.draw(random());
    left.push([role, draw.remove(role)]);
    const others = Math.max(0, roles - left.length);
    take(role, Math.ceil(missing / (others + 1)));
    if (left.length >= roles || draw.total === 0) for (const other of taken.keys()) take(other, missing);
  }
  for (const [role, weight] of left) draw.add(role, weight - (taken.get(role)?.length ?? 0));
  return [...taken.values()].flat();
}

/** Takes whole questions until their number is as near to `share` as it gets, at least one and at most `limit` samples. */
function takeQuestions(queue: number[][], share: number, limit: number): number[] {
  const out: number[] = [];
  for (let question = queue.at(-1); question !== undefined && out.length < share; question = queue.at(-1)) {
    const next = out.length + question.length;
    if (next > limit || (out.length > 0 && next - share > share - out.length)) break;
    out.push(...question);
    queue.pop();
  }
  return out;
}
