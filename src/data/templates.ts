// Prompt templates as data: plain objects that are stored verbatim as prompt_template.json and read back from there.
// rolellama: the markup of RoleLLaMA (arXiv 2310.00746). chatglm2: ChatGLM2's build_prompt with the system instruction
// directly before round 1. chat_template: the Jinja template of the tokenizer, filled in by prompt.ts.
import { UserError } from '../core/errors.ts';
import { readJsonFile } from '../core/files.ts';
import { isObject, type JsonObject } from '../core/json.ts';
import { describe } from './jsonl.ts';
import type { Language } from './sample.ts';

/** A piece of markup: text, a special token by name, the tokenizer's end token, or a place to fill in. */
export type MarkupPiece = { text: string } | { token: string } | { special: 'end' } | { slot: 'content' | 'round' };

export interface Markup {
  /** Whether the ids of the tokenizer's post-processor (BOS) come first. */
  tokenizer_prefix: boolean;
  start: readonly MarkupPiece[];
  system: readonly MarkupPiece[];
  user: readonly MarkupPiece[];
  /** Before an answer, the answer with its end (both are targets), and between rounds. */
  assistant_start: readonly MarkupPiece[];
  assistant: readonly MarkupPiece[];
  between_rounds: readonly MarkupPiece[];
  /** Whether an answer is tokenised with the tokenizer's dummy blank in front. */
  answer_dummy_blank: boolean;
}

/** The role's instruction; `{role}` and `{desc}` are filled in. */
export interface SystemInstruction {
  with_description: string;
  without_description: string;
}

export type TemplateName = 'rolellama' | 'chatglm2' | 'chat_template';

export interface PromptTemplate {
  format_version: 1;
  name: TemplateName;
  language: Language;
  system_instruction: SystemInstruction;
  /** null for chat_template. */
  markup: Markup | null;
  /** The Jinja source; null for markup. */
  chat_template: string | null;
  /** The day that a Jinja template is told, YYYY-MM-DD: prompts must not change from one day to the next. */
  day: string;
}

/** The day of templates that were stored without one. */
export const DEFAULT_DAY = '2024-07-26';

export const SYSTEM_INSTRUCTIONS = {
  eng: {
    with_description:
      "You are {role}, your description is: {desc}. Now please answer some questions to accurately show your personality traits! Your speaking style should fully imitate the personality role assigned to you! Please do not expose that you are an artificial intelligence model or a language model, you must always remember that you are only assigned one personality role. Don't be verbose or too formal or polite when speaking.",
    without_description:
      "You are {role}. Now please answer some questions to accurately show your personality traits! Your speaking style should fully imitate the personality role assigned to you! Please do not expose that you are an artificial intelligence model or a language model, you must always remember that you are only assigned one personality role. Don't be verbose or too formal or polite when speaking.",
  },
  zh: {
    with_description:
      '你是{role}，你的特征描述是：{desc}。现在请你回答我的一些问题，以准确展现你的人格特征！你的说话风格要全面模仿被赋予的人格角色！请不要暴露你是人工智能模型或者语言模型，你要时刻记住你只被赋予的一个人格角色。说话不要啰嗦，也不要太过于正式或礼貌。',
    without_description:
      '你是{role}。现在请你回答我的一些问题，以准确展现你的人格特征！你的说话风格要全面模仿被赋予的人格角色！请不要暴露你是人工智能模型或者语言模型，你要时刻记住你只被赋予的一个人格角色。说话不要啰嗦，也不要太过于正式或礼貌。',
  },
} as const satisfies Record<Language, SystemInstruction>;

export const MARKUPS = {
  rolellama: {
    tokenizer_prefix: true,
    start: [],
    system: [{ text: '### Instruction:\n' }, { slot: 'content' }, { special: 'end' }, { text: '\n\n' }],
    user: [{ text: '### Input:\n' }, { slot: 'content' }, { special: 'end' }, { text: '\n\n' }],
    assistant_start: [{ text: '### Response:\n' }],
    assistant: [{ slot: 'content' }, { special: 'end' }],
    between_rounds: [{ text: '\n\n' }],
    answer_dummy_blank: false,
  },
  chatglm2: {
    tokenizer_prefix: false,
    start: [{ token: '[gMASK]' }, { token: 'sop' }],
    system: [{ slot: 'content' }],
    user: [{ text: '[Round ' }, { slot: 'round' }, { text: ']\n\n问：' }, { slot: 'content' }, { text: '\n\n' }],
    assistant_start: [{ text: '答：' }],
    assistant: [{ slot: 'content' }, { special: 'end' }],
    between_rounds: [{ text: '\n\n' }],
    answer_dummy_blank: true,
  },
} as const satisfies Record<Exclude<TemplateName, 'chat_template'>, Markup>;

/**
 * The template of a run, complete in itself.
 * @param chatTemplate the tokenizer's own Jinja template
 * @param day what a Jinja template is told when it asks for the day, YYYY-MM-DD
 * @throws UserError when `chat_template` is asked for and the tokenizer has none
 */
export function promptTemplate(
  name: TemplateName,
  language: Language,
  chatTemplate: string | null,
  day: string = DEFAULT_DAY,
): PromptTemplate {
  const system_instruction = SYSTEM_INSTRUCTIONS[language];
  const common = { format_version: 1, name, language, system_instruction, day } as const;
  if (name !== 'chat_template') return { ...common, markup: MARKUPS[name], chat_template: null };
  if (chatTemplate !== null) return { ...common, markup: null, chat_template: chatTemplate };
  throw new UserError(
    'data.template: expected a base model with a chat template, got a tokenizer without one; set data.template=rolellama.',
  );
}

/**
 * Reads prompt_template.json of a checkpoint.
 * @throws UserError when it is missing or of another form
 */
export function readPromptTemplate(path: string): PromptTemplate {
  const value = readJsonFile(path, 'a prompt template');
  if (isObject(value) && isPromptTemplate(value)) return { ...value, day: value.day ?? DEFAULT_DAY };
  throw new UserError(
    `${path}: expected a prompt template of format_version 1, got ${describe(value)} of another form; restore the file.`,
  );
}

/** The system instruction of a role; without a description its clause is left out. */
export function fillSystemInstruction(template: PromptTemplate, role: string, description: string | null): string {
  const { with_description, without_description } = template.system_instruction;
  const text = description === null ? without_description : with_description;
  return text.replace(/\{(role|desc)\}/g, (_, key: string) => (key === 'role' ? role : (description ?? '')));
}

function isPromptTemplate(value: JsonObject): value is JsonObject & PromptTemplate {
  const { format_version, name, language, system_instruction: system, markup, chat_template } = value;
  const hasSystem =
    isObject(system) && typeof system.with_description === 'string' && typeof system.without_description === 'string';
  const hasBody = isMarkup(markup) ? chat_template === null : markup === null && typeof chat_template === 'string';
  return format_version === 1 && typeof name === 'string' && typeof language === 'string' && hasSystem && hasBody;
}

const MARKUP_LISTS = ['start', 'system', 'user', 'assistant_start', 'assistant', 'between_rounds'];

function isMarkup(value: unknown): boolean {
  if (!isObject(value)) return false;
  const flags = [value.tokenizer_prefix, value.answer_dummy_blank];
  return MARKUP_LISTS.every((key) => Array.isArray(value[key])) && flags.every((flag) => typeof flag === 'boolean');
}
