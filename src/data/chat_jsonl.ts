// Chat rows: { "messages": [{ "role": "system" | "user" | "assistant", "content": text }, …] }, and optionally
// "role", the name that groups rows of one character (else the system message does).

import { isObject, type JsonObject } from '../core/json.ts';
import { BadRow, describe, readRows, stringField } from './jsonl.ts';
import type { ChatMessage, Conversation } from './sample.ts';

const ROLES: readonly string[] = ['system', 'user', 'assistant'];

/**
 * Streams the conversations of one file in file order.
 * @throws UserError for a missing file, a Git LFS pointer, or with the first bad rows
 */
export function readChatJsonl(path: string): AsyncGenerator<Conversation> {
  return readRows(path, 'chat rows', (object, row) => ({ ...parseRow(object), answer_index: 0, row, file: path }));
}

function parseRow(object: JsonObject) {
  const { messages: list } = object;
  if (!Array.isArray(list) || list.length === 0) {
    throw new BadRow(`expected "messages" as a list of at least one message, got ${describe(list)}`);
  }
  const messages = list.map(parseMessage);
  if (!messages.some(({ role }) => role === 'assistant')) {
    throw new BadRow('expected at least one message of "assistant", got none');
  }
  const system = messages.find(({ role }) => role === 'system')?.content ?? '';
  const role = object.role === undefined ? system : stringField(object, 'role').trim();
  const question = messages.find((message) => message.role === 'user')?.content ?? '';
  return { role, question, messages };
}

function parseMessage(value: unknown, i: number): ChatMessage {
  if (!isObject(value)) throw new BadRow(`expected "messages"[${i}] as an object, got ${describe(value)}`);
  const { role, content } = value;
  if (typeof role !== 'string' || !ROLES.includes(role)) {
    throw new BadRow(`expected "messages"[${i}].role as ${ROLES.join(', ')}, got ${describe(role)}`);
  }
  if (typeof content !== 'string') {
    throw new BadRow(`expected "messages"[${i}].content as text, got ${describe(content)}`);
  }
  return { role: role as ChatMessage['role'], content: content.trim() };
}
