import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { promptTemplate } from '../../src/data/templates.ts';
import { nearestName, rolePrompt } from '../../src/inference/role_prompt.ts';
import { temporaryFolder } from '../support/temporary.ts';

const QUESTION = 'Who are you?';
const folder = temporaryFolder();
const template = promptTemplate('rolellama', 'eng', null);
const data = {
  source: 'rolebench' as const,
  path: folder,
  language: 'eng' as const,
  generalization: 'instruction' as const,
  kinds: ['general' as const],
  answers: 'all' as const,
  train_split: 'train',
};

mkdirSync(join(folder, 'profiles-eng'));
writeFileSync(
  join(folder, 'profiles-eng', 'desc.json'),
  JSON.stringify({ 'Ada Quill': 'a clockmaker', 'Bo Reed': 'a ferryman' }),
);
const rows = [
  { role: 'ada', messages: message('You are Ada.', 'Hm?', 'Tick.') },
  { role: 'bo', messages: message('You are Bo.', 'Hm?', 'Row.') },
];
writeFileSync(join(folder, 'train.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''));

function message(system: string, user: string, assistant: string) {
  return [
    { role: 'system', content: system },
    { role: 'user', content: user },
    { role: 'assistant', content: assistant },
  ];
}

let said = '';
beforeEach(() => {
  said = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('rolePrompt', () => {
  it('has the instruction with the description of the data, and the question', async () => {
    const [system, user, ...rest] = await rolePrompt(data, template, { role: 'Ada Quill', question: QUESTION });
    expect(system?.content).toMatch(/^You are Ada Quill, your description is: a clockmaker\. Now please/);
    expect(user).toEqual({ role: 'user', content: QUESTION });
    expect(rest).toEqual([]);
    expect(said).toBe('');
  });

  it('has the name alone for a role without a description, says so and suggests the nearest', async () => {
    const [system] = await rolePrompt(data, template, { role: 'ada quil', question: QUESTION });
    expect(system?.content).toMatch(/^You are ada quil\. Now please/);
    expect(said.replace(folder, '')).toMatchInlineSnapshot(`
      "/profiles-eng/desc.json: nothing about a role "ada quil"; its prompt has the name only. Did you mean "Ada Quill"?
      "
    `);
  });

  it('suggests nothing where nothing is near, and works without any descriptions', async () => {
    const elsewhere = { ...data, path: join(folder, 'profiles-eng') };
    const [system] = await rolePrompt(elsewhere, template, { role: 'Xerxes', question: QUESTION });
    expect(system?.content).toMatch(/^You are Xerxes\. /);
    expect(said).toMatch(/desc\.json: nothing about a role "Xerxes"; its prompt has the name only\.\n$/);
  });

  it('takes the instruction of chat rows from the first row of the role', async () => {
    const chat = { ...data, source: 'chat_jsonl' as const };
    expect(await rolePrompt(chat, template, { role: 'bo', question: QUESTION })).toEqual([
      { role: 'system', content: 'You are Bo.' },
      { role: 'user', content: QUESTION },
    ]);
    const [system] = await rolePrompt(chat, template, { role: 'adda', question: QUESTION });
    expect(system?.content).toMatch(/^You are adda\. /);
    expect(said).toContain('Did you mean "ada"?');
  });
});

describe('nearestName', () => {
  it('does not mind case, and keeps the first of equals', () => {
    expect(nearestName('KING LEAR', ['King Lean', 'king lear', 'King Leap'])).toBe('king lear');
    expect(nearestName('abcd', ['abcx', 'abcy'])).toBe('abcx');
  });

  it('finds nothing among far names and none', () => {
    expect(nearestName('孙悟空', ['Ada Quill'])).toBeNull();
    expect(nearestName('Ada', [])).toBeNull();
  });
});
