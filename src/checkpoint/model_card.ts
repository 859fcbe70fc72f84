// README.md of an adapter folder: the model card that hubs and PEFT's tools read. Plain data in, Markdown out.
import { stringify } from 'yaml';

export interface ModelCard {
  /** The run's name. */
  name: string;
  base_model: string;
  /** ISO 639-1 codes. */
  languages: readonly string[];
  /** What it was trained on, e.g. source, roles, samples, targets. */
  data: Readonly<Record<string, string | number>>;
  /** The prompt template's name and its text as the model sees it. */
  template: { name: string; example: string };
  /** Settings of LoRA, optimizer and schedule. */
  settings: Readonly<Record<string, string | number | boolean | null>>;
  /** Held-out loss by step; step 0 is the base model. */
  losses: readonly { step: number; eval_loss: number }[];
}

/** The card as Markdown with YAML front matter. */
export function modelCard(card: ModelCard): string {
  const front = stringify({
    base_model: card.base_model,
    library_name: 'peft',
    pipeline_tag: 'text-generation',
    language: [...card.languages],
    tags: [`base_model:adapter:${card.base_model}`, 'lora', 'role-playing', 'rocit'],
  });
  return [
    `---\n${front}---`,
    `# ${card.name}`,
    `A LoRA adapter of \`${card.base_model}\`, trained to answer in character (role-conditioned instruction tuning).`,
    `## Use\n\n${fenced(usage(card.base_model), 'python')}`,
    `## Data\n\n${table(Object.entries(card.data))}`,
    `## Prompt template: ${card.template.name}\n\n${fenced(card.template.example, 'text')}`,
    `## Settings\n\n${table(Object.entries(card.settings))}`,
    `## Held-out loss\n\n${losses(card)}`,
    '',
  ]
    .join('\n\n')
    .trimEnd()
    .concat('\n');
}

function usage(base: string): string {
  return `from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(${JSON.stringify(base)})
model = PeftModel.from_pretrained(model, "path/to/this/folder")`;
}

function losses(card: ModelCard): string {
  if (card.losses.length === 0) return 'Not measured.';
  return table(
    card.losses.map(({ step, eval_loss }) => [step === 0 ? 'base' : `step ${step}`, eval_loss.toFixed(4)] as const),
  );
}

function table(rows: readonly (readonly [string, string | number | boolean | null])[]): string {
  const cell = (value: unknown) => String(value).replaceAll('|', '\\|').replaceAll('\n', ' ');
  return ['| | |', '|---|---|', ...rows.map(([key, value]) => `| ${cell(key)} | ${cell(value)} |`)].join('\n');
}

/** A code block whose fence is longer than any run of backticks inside. */
function fenced(text: string, language: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}
