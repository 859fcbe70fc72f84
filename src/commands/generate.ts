// rocit generate: one answer of one role to one question, streamed to the terminal.

import { adapterFolder } from '../checkpoint/adapter_folder.ts';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { seconds } from '../core/clock.ts';
import { Interrupted, UserError } from '../core/errors.ts';
import { log } from '../core/log.ts';
import { createPromptEncoder } from '../data/prompt.ts';
import { type PromptTemplate, promptTemplate } from '../data/templates.ts';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer.ts';
import { startEngine } from '../engine/runtime.ts';
import { adapterTemplate, templateDifference } from '../inference/adapter_template.ts';
import { type AnswerEvents, answerPrompt, stopIds } from '../inference/answer.ts';
import { rolePrompt } from '../inference/role_prompt.ts';
import { loadAdapterInto, loadModel, resolveBase } from '../models/load.ts';

export interface GenerateOptions {
  role: string;
  question: string;
  /** A PEFT folder, a run folder or `none`; `model.adapter` of the config when left out. */
  adapter?: string;
  temperature: number;
  topP: number;
  maxNewTokens: number;
  seed: number;
  /** One JSON object at the end in place of the stream. */
  json: boolean;
}

/** Prints the answer on stdout, all else on stderr. Interrupted, it ends the line and says how far it came. */
export async function generateCommand(
  path: string,
  overrides: readonly string[],
  options: GenerateOptions,
): Promise<void> {
  checkOptions(options);
  const { role, question, temperature, topP: top_p, maxNewTokens: max_new_tokens, seed } = options;
  const { config } = loadConfig(path, overrides);
  const adapter = adapterFolder(options.adapter ?? config.model.adapter);
  const base = resolveBase(config.model.base);
  const tokenizer = await loadTokenizer(base);
  const template = chooseTemplate(config, tokenizer, adapter);
  const messages = await rolePrompt(config.data, template, { role: role.trim(), question: question.trim() });
  const encoder = createPromptEncoder(tokenizer, template);
  const prompt = await encoder.encodePrompt(messages);
  await startEngine();
  const model = loadModel(base, config.model);
  if (adapter !== null) loadAdapterInto(model, adapter);
  const settings = {
    temperature,
    top_p,
    max_new_tokens,
    seed,
    stop_ids: new Set([...stopIds(base, tokenizer.eosId), ...encoder.endIds(messages)]),
  };
  const result = await printAnswer(options.json, (events) =>
    answerPrompt(model, tokenizer, prompt, { ...settings, ...events }),
  );
  const { answer, stopped, ...figures } = result;
  if (options.json) {
    const line = { role, question, answer, ...figures, prompt_tokens: prompt.length, base, adapter };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
  const speed = figures.tokens_per_second?.toFixed(1) ?? '–';
  log.info(
    `prompt ${prompt.length} tokens in ${figures.prompt_seconds.toFixed(2)} s; answer ${figures.new_tokens} tokens, ${speed} tokens/s (${REASONS[figures.finish_reason]}).`,
  );
  if (stopped !== null) throw stopped;
}

function checkOptions({ role, question, temperature, topP, maxNewTokens, seed }: GenerateOptions): void {
  const rules: [boolean, string, string, unknown][] = [
    [role.trim() !== '', '--role', 'a name', JSON.stringify(role)],
    [question.trim() !== '', '--question', 'a text', JSON.stringify(question)],
    [temperature >= 0 && temperature < Number.POSITIVE_INFINITY, '--temperature', 'a number from 0 up', temperature],
    [topP > 0 && topP <= 1, '--top-p', 'a number above 0 and at most 1', topP],
    [Number.isInteger(maxNewTokens) && maxNewTokens > 0, '--max-new-tokens', 'a whole number from 1 up', maxNewTokens],
    [Number.isInteger(seed) && seed >= 0, '--seed', 'a whole number from 0 up', seed],
  ];
  const wrong = rules.flatMap(([isRight, flag, what, got]) =>
    isRight ? [] : [`${flag}: expected ${what}, got ${got}; see \`rocit generate --help\`.`],
  );
  if (wrong.length > 0) throw new UserError(wrong.join('\n'));
}

/** The template the adapter was trained with; the config's for the base and for adapters that do not say. */
function chooseTemplate({ data }: Config, tokenizer: Tokenizer, adapter: string | null): PromptTemplate {
  const configured = () => promptTemplate(data.template, data.language, tokenizer.chatTemplate, data.template_date);
  const stored = adapterTemplate(adapter);
  if (stored === null) return configured();
  const isNamed = stored.name === data.template;
  const difference = isNamed ? templateDifference(stored, configured()) : `${stored.name} and ${data.template}`;
  if (difference !== null) {
    log.info(`${adapter}: its own prompt template is used, which is not the config's (${difference}).`);
  }
  return stored;
}

const REASONS = { stop: 'ended by itself', length: 'cut at --max-new-tokens', interrupted: 'interrupted' };

interface Result {
  answer: string;
  finish_reason: keyof typeof REASONS;
  new_tokens: number;
  /** Until the first token. */
  prompt_seconds: number;
  /** Of the tokens behind the first one; null where there is none. */
  tokens_per_second: number | null;
  /** To be thrown once everything is printed. */
  stopped: Interrupted | null;
}

/** Streams the answer to stdout, or only collects it, and takes the time. */
async function printAnswer(
  isQuiet: boolean,
  run: (events: AnswerEvents) => Promise<'stop' | 'length'>,
): Promise<Result> {
  const started = seconds();
  let answer = '';
  let new_tokens = 0;
  let firstAt: number | null = null;
  let finish_reason: Result['finish_reason'] = 'interrupted';
  let stopped: Interrupted | null = null;
  try {
    finish_reason = await run({
      onText(piece) {
        answer += piece;
        if (!isQuiet) process.stdout.write(piece);
      },
      onToken() {
        new_tokens += 1;
        firstAt ??= seconds();
      },
    });
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    stopped = error;
  } finally {
    if (!isQuiet && answer !== '') process.stdout.write('\n');
  }
  const ended = seconds();
  const prompt_seconds = (firstAt ?? ended) - started;
  const tokens_per_second = new_tokens > 1 ? (new_tokens - 1) / (ended - started - prompt_seconds) : null;
  return { answer, finish_reason, new_tokens, prompt_seconds, tokens_per_second, stopped };
}
