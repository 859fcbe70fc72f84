// The messages that ask a role something, as training had them: its instruction from the data, then the question.
import { distance } from 'fastest-levenshtein';
import { log } from '../core/log.ts';
import { descriptionsFile, readDescriptions } from '../data/rolebench.ts';
import type { ChatMessage } from '../data/sample.ts';
import { openSource, roleMessages, type SourceSettings } from '../data/source.ts';
import type { PromptTemplate } from '../data/templates.ts';

/** A name is suggested where at most this share of it has to be changed. */
const NEAR = 0.5;
const MAX_SUGGESTION = 80;

export interface RoleQuestion {
  role: string;
  question: string;
}

/**
 * System instruction and question. A role that the data does not describe is asked by its name alone, which is said
 * together with the nearest name that it knows.
 */
export async function rolePrompt(
  data: SourceSettings & { train_split: string },
  template: PromptTemplate,
  { role, question }: RoleQuestion,
): Promise<ChatMessage[]> {
  // The stored template of an adapter may be in another language than the config's data.
  const settings = { ...data, language: template.language };
  const found =
    data.source === 'rolebench'
      ? describedRole(settings, template, role, question)
      : await chatRole(settings, template, role, question);
  if (found.messages !== null) return found.messages;
  const near = nearestName(role, found.known);
  const advice = near === null ? '' : ` Did you mean "${near}"?`;
  log.info(`${found.place}: nothing about a role "${role}"; its prompt has the name only.${advice}`);
  return roleMessages(template, role, null, question);
}

interface Found {
  messages: ChatMessage[] | null;
  /** Where was looked. */
  place: string;
  known: Iterable<string>;
}

function describedRole(data: SourceSettings, template: PromptTemplate, role: string, question: string): Found {
  const descriptions = readDescriptions(data) ?? new Map<string, string>();
  const description = descriptions.get(role);
  const messages = description === undefined ? null : roleMessages(template, role, description, question);
  return { messages, place: descriptionsFile(data), known: descriptions.keys() };
}

/** Chat rows carry the instruction themselves: the first row of the role has it. */
async function chatRole(
  data: SourceSettings & { train_split: string },
  template: PromptTemplate,
  role: string,
  question: string,
): Promise<Found> {
  const known = new Set<string>();
  const source = openSource(data, template);
  const [place = data.path] = source.files(data.train_split);
  for await (const conversation of source.conversations(data.train_split)) {
    known.add(conversation.role);
    if (conversation.role !== role) continue;
    const system = conversation.messages.filter((message) => message.role === 'system');
    return { messages: [...system, { role: 'user', content: question }], place, known };
  }
  return { messages: null, place, known };
}

/** The name that was most likely meant, or null where none is near. */
export function nearestName(name: string, known: Iterable<string>): string | null {
  const difference = (other: string) =>
    distance(name.toLowerCase(), other.toLowerCase()) / Math.max(name.length, other.length);
  let best: { other: string; score: number } | null = null;
  for (const other of known) {
    const score = other.length > MAX_SUGGESTION ? 1 : difference(other);
    if (score <= NEAR && (best === null || score < best.score)) best = { other, score };
  }
  return best?.other ?? null;
}
