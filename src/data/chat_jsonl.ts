// Chat rows: { "messages": [{ "role": "system" | "user" | "assistant", "content": text }, …] } or ShareGPT's
// { "conversations": [{ "from": "system" | "human" | "gpt", "value": text }, …] }, a line each or in one list; optionally
// "role", the name that groups rows of one character (else the system message does). Contents stay as they are.
// Keys that would change what a turn means are honoured or refused.
import { isObject, type JsonObject } from '../core/json.ts';
import { describe, type ReadOptions, readRows, stringField, textOf } from './jsonl.ts';
import { BadRow } from './refusals.ts';
import type { ChatMessage, Conversation } from './sample.ts';

const ROLES: Readonly<Record<string, ChatMessage['role']>> = {
  ...{ system: 'system', user: 'user', assistant: 'assistant' },
  ...{ human: 'user', gpt: 'assistant' },
};

/** Keys of a row that change what is trained, and that nothing here reads. */
const REFUSED_ROW_KEYS = [
  ...['tools', 'functions', 'function_call', 'tool_calls', 'documents', 'images', 'image', 'videos', 'video', 'audios'],
  ...['audio', 'objects', 'chosen', 'rejected', 'loss_mask', 'mask', 'weight', 'train', 'loss', 'labels', 'history'],
  ...[
    'chat_template',
    'chat_template_kwargs',
    'add_generation_prompt',
    'prompt',
    'completion',
    'instruction',
    'response',
  ],
];
/** Keys of a message that say something about it and change nothing. */
const PLAIN_MESSAGE_KEYS = ['id', 'index', 'timestamp', 'created_at', 'date', 'model', 'lang', 'language', 'source'];
const TRAIN_KEYS = ['weight', 'train', 'loss'];
const MESSAGE_KEYS = ['role', 'content', 'from', 'value', ...TRAIN_KEYS];

export interface ChatReadOptions extends ReadOptions {
  /** Told the keys of rows that are not read. */
  onIgnoredKey?: (key: string) => void;
}

/**
 * Streams the conversations of one file in file order.
 * @throws UserError for a missing file, a Git LFS pointer, or with the first bad rows
 */
export function readChatJsonl(path: string, options: ChatReadOptions = {}): AsyncGenerator<Conversation> {
  const { onIgnoredKey = () => {} } = options;
  return readRows(
    path,
    'chat rows',
    (object, place) => ({ ...parseRow(object, onIgnoredKey), answer_index: 0, ...place }),
    options,
  );
}

function parseRow(object: JsonObject, onIgnoredKey: (key: string) => void) {
  const { messages: openAi, conversations: shareGpt } = object;
  if (!isEmpty(openAi) && !isEmpty(shareGpt)) {
    throw new BadRow('expected "messages" or "conversations", got both');
  }
  const [name, list] = isEmpty(openAi) && shareGpt !== undefined ? ['conversations', shareGpt] : ['messages', openAi];
  refuseKeys(object, REFUSED_ROW_KEYS, '');
  if (!Array.isArray(list) || list.length === 0) {
    throw new BadRow(`expected "${name}" as a list of at least one message, got ${describe(list)}`);
  }
  const messages = withSystem(
    object,
    list.map((value: unknown, i) => parseMessage(value, `"${name}"[${i}]`)),
  );
  if (!messages.some(({ role }) => role === 'assistant')) {
    throw new BadRow('expected at least one message of "assistant", got none');
  }
  const system = messages.find(({ role }) => role === 'system')?.content ?? '';
  const role = object.role === undefined ? system : stringField(object, 'role').trim();
  const question = messages.find((message) => message.role === 'user')?.content ?? '';
  for (const key of Object.keys(object)) {
    if (!['messages', 'conversations', 'role', 'system'].includes(key)) onIgnoredKey(key);
  }
  return { role, question, messages };
}

/** ShareGPT's column "system" is the system message. */
function withSystem({ system }: JsonObject, messages: ChatMessage[]): ChatMessage[] {
  if (isEmpty(system)) return messages;
  const content = textOf(system, '"system"');
  if (!messages.some(({ role }) => role === 'system')) return [{ role: 'system', content }, ...messages];
  throw new BadRow('expected "system" or a message of "system", got both');
}

function parseMessage(value: unknown, name: string): ChatMessage {
  if (!isObject(value)) throw new BadRow(`expected ${name} as an object, got ${describe(value)}`);
  const isShareGpt = !('role' in value) && 'from' in value;
  const others = (isShareGpt ? ['content'] : ['from', 'value']).filter((key) => !isEmpty(value[key]));
  if (others.length > 0)
    throw new BadRow(`expected ${name} with "role" and "content", or "from" and "value", got both`);
  const [speaker, text] = isShareGpt ? [value.from, value.value] : [value.role, value.content];
  const role = typeof speaker === 'string' && Object.hasOwn(ROLES, speaker) ? ROLES[speaker] : undefined;
  if (role === undefined) {
    const names = Object.keys(ROLES).slice(0, 3);
    const known = isShareGpt ? [...names, 'human', 'gpt'] : names;
    const key = isShareGpt ? 'from' : 'role';
    throw new BadRow(`expected ${name}.${key} as ${known.join(', ')}, got ${describe(speaker)}`);
  }
  const unknown = Object.keys(value).filter((key) => ![...MESSAGE_KEYS, ...PLAIN_MESSAGE_KEYS].includes(key));
  refuseKeys(value, unknown, `${name}.`);
  const content = textOf(text, `${name}.${isShareGpt ? 'value' : 'content'}`);
  const train = trainOf(value, name);
  if (train === true && role !== 'assistant') {
    throw new BadRow(`expected "weight", "train" or "loss" of 1 on answers alone, got one in ${name} of "${speaker}"`);
  }
  return train === false && role === 'assistant' ? { role, content, train } : { role, content };
}

/** What the row says about learning a message, or null. */
function trainOf(message: JsonObject, name: string): boolean | null {
  const values = TRAIN_KEYS.filter((key) => !isEmpty(message[key])).map((key): boolean => {
    const { [key]: value } = message;
    if (value === 0 || value === false) return false;
    if (value === 1 || value === true) return true;
    throw new BadRow(`expected ${name}.${key} as 0 or 1, or true or false, got ${describe(value)}`);
  });
  if (new Set(values).size > 1) throw new BadRow(`expected ${name} to be learnt or not, got both`);
  return values[0] ?? null;
}

function refuseKeys(object: JsonObject, keys: readonly string[], prefix: string): void {
  const found = keys.filter((key) => !isEmpty(object[key])).map((key) => `${prefix}${key}`);
  if (found.length === 0) return;
  throw new BadRow(
    `expected no keys that change what a turn means, got ${found.join(', ')}, which rocit does not read`,
  );
}

/** What converters write for a column without a value. */
function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '') return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
