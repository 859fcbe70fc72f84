// The facts that a run's model card tells.
import type { ModelCard } from '../checkpoint/model_card.ts';
import { createPromptEncoder } from '../data/prompt.ts';
import { BadRow } from '../data/refusals.ts';
import type { ChatMessage } from '../data/sample.ts';
import type { Progress } from './progress.ts';
import type { Setup } from './setup.ts';

const LANGUAGES = { eng: ['en'], zh: ['zh'] };

export function cardOf(name: string, { base, data, identity }: Setup, progress: Progress): ModelCard {
  const { settings } = identity;
  const { stats } = data.train;
  return {
    name,
    base_model: base,
    languages: LANGUAGES[settings.data.language],
    data: {
      source: settings.data.source,
      'training samples': stats.samples,
      roles: stats.roles,
      'target tokens an epoch': stats.targets,
      'held-out samples': data.eval?.stats.samples ?? 0,
      'steps so far': progress.step,
      'target tokens seen': progress.num_targets,
    },
    template: { name: data.template.name, example: exampleOf(data) },
    settings: flat({
      lora: settings.lora,
      optimizer: settings.optimizer,
      schedule: settings.schedule,
      batching: settings.batching,
      'model.dtype': settings.model.dtype,
      'training.seed': settings.training.seed,
    }),
    losses: progress.evaluations,
  };
}

function exampleOf({ tokenizer, template }: Setup['data']): string {
  const encoder = createPromptEncoder(tokenizer, template);
  const turns: ChatMessage[] = [
    { role: 'user', content: '{question}' },
    { role: 'assistant', content: '{answer}' },
  ];
  const system: ChatMessage = { role: 'system', content: template.system_instruction.with_description };
  for (const messages of [[system, ...turns], turns]) {
    try {
      const segments = encoder.segments(messages);
      return segments.map((segment) => ('text' in segment ? segment.text : segment.token)).join('');
    } catch (error) {
      // Some templates take no system message, and some no conversation as plain as this.
      if (!(error instanceof BadRow)) throw error;
    }
  }
  return '';
}

/** Nested settings as dotted keys. */
function flat(settings: Record<string, unknown>): Record<string, string | number | boolean | null> {
  const entries = Object.entries(settings).flatMap(([key, value]): [string, string | number | boolean | null][] => {
    if (value === null || typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string') {
      return [[key, value]];
    }
    if (Array.isArray(value)) return [[key, value.join(', ')]];
    return Object.entries(flat(value as Record<string, unknown>)).map(([inner, leaf]) => [`${key}.${inner}`, leaf]);
  });
  return Object.fromEntries(entries);
}
