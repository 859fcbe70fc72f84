import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { createPromptEncoder } from '../../src/data/prompt.ts';
import { roleMessages } from '../../src/data/source.ts';
import { promptTemplate } from '../../src/data/templates.ts';
import { loadTokenizer } from '../../src/data/tokenizer.ts';
import { startEngine } from '../../src/engine/runtime.ts';
import { generate as runModel } from '../../src/inference/generate.ts';
import { loadModel } from '../../src/models/load.ts';
import { type CliResult, rocit, startRocit } from '../support/cli.ts';
import { temporaryFolder } from '../support/temporary.ts';
import { writeRandomAdapter, writeTinyTask } from '../support/tiny_task.ts';

const folder = temporaryFolder();
const GREEDY = ['--temperature', '0', '--max-new-tokens', '20'];
const ADA = ['--role', 'Ada Quill', '--question', 'What time is it?'];

async function generate(...args: string[]): Promise<CliResult> {
  return await rocit(['generate', 'config.yaml', ...args], { cwd: folder });
}

beforeAll(async () => {
  writeTinyTask(folder);
  await startEngine();
  writeRandomAdapter(join(folder, 'tiny'), join(folder, 'adapter'));
});

describe('rocit generate', () => {
  it('streams the answer to stdout, ends the line, and tells speed and reason on stderr', async () => {
    const { code, stdout, stderr } = await generate(...ADA, ...GREEDY);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\n$/);
    expect(stderr).toMatch(
      /^prompt \d+ tokens in \d+\.\d\d s; answer 20 tokens, \d+\.\d tokens\/s \(cut at --max-new-tokens\)\.$/m,
    );
    const json = await generate(...ADA, ...GREEDY, '--json');
    const result = JSON.parse(json.stdout) as Record<string, unknown>;
    expect(`${result.answer}\n`).toBe(stdout);
    expect(result).toEqual({
      role: 'Ada Quill',
      question: 'What time is it?',
      answer: expect.any(String),
      finish_reason: 'length',
      new_tokens: 20,
      prompt_seconds: expect.any(Number),
      tokens_per_second: expect.any(Number),
      prompt_tokens: expect.any(Number),
      base: 'tiny',
      adapter: null,
    });
  });

  it('draws the same answer for the same seed and another for another', async () => {
    const drawn = ['--max-new-tokens', '20', '--temperature', '1.5'];
    const [first, again, other] = [
      await generate(...ADA, ...drawn, '--seed', '1'),
      await generate(...ADA, ...drawn, '--seed', '1'),
      await generate(...ADA, ...drawn, '--seed', '2'),
    ];
    expect(again.stdout).toBe(first.stdout);
    expect(other.stdout).not.toBe(first.stdout);
  });

  it('uses the adapter, and its own prompt template, which it says when the config has another', async () => {
    const own = await generate(...ADA, ...GREEDY, '--adapter', 'adapter', '--json');
    writeFileSync(
      join(folder, 'adapter', 'prompt_template.json'),
      JSON.stringify(promptTemplate('rolellama', 'eng', null)),
    );
    const said = /its own prompt template is used/;
    const result = await generate(...ADA, ...GREEDY, 'data.template=chat_template', '--adapter', 'adapter', '--json');
    expect(own.stderr).not.toMatch(said);
    expect(result.stderr).toContain(
      "adapter: its own prompt template is used, which is not the config's (rolellama and chat_template).",
    );
    const answerOf = ({ stdout }: CliResult) => (JSON.parse(stdout) as { answer: string }).answer;
    expect(answerOf(result)).toBe(answerOf(own));
    expect(answerOf(own)).not.toBe(answerOf(await generate(...ADA, ...GREEDY, '--json')));
  });

  it('stops at the token that training teaches as the end, which is not the end token of the tokenizer', async () => {
    const questions =
      "{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + END }}{% else %}{{ m.content }}{% endif %}";
    const source = (end: string) =>
      `${questions.replace('END', JSON.stringify(end))}{{ '<|im_end|>' if m.role != 'assistant' }}{% endfor %}`;
    const base = join(folder, 'ending');
    cpSync(join(folder, 'tiny'), base, { recursive: true });
    // What the model says, and one of its tokens made a token that ends turns.
    const template = promptTemplate('chat_template', 'eng', source('<|im_end|>'));
    const prompt = await createPromptEncoder(await loadTokenizer(base), template).encodePrompt(
      roleMessages(template, 'Ada Quill', 'a clockmaker', 'What time is it?'),
    );
    const ids: number[] = [];
    const settings = { temperature: 0, top_p: 1, max_new_tokens: 20, seed: 0, stop_ids: new Set<number>() };
    for await (const id of runModel(loadModel(base, { dtype: 'float32' }), prompt, settings)) ids.push(id);
    const at = ids.findLastIndex((id, i) => id > 2 && ids.indexOf(id) === i);
    const path = join(base, 'tokenizer.json');
    const json = JSON.parse(readFileSync(path, 'utf8'));
    const content = Object.keys(json.model.vocab).find((piece) => json.model.vocab[piece] === ids[at]) ?? '';
    json.added_tokens.push({ ...json.added_tokens[0], id: ids[at], content });
    writeFileSync(path, JSON.stringify(json));
    writeFileSync(join(base, 'chat_template.jinja'), source(content));
    const { stdout } = await generate('model.base=ending', 'data.template=chat_template', ...ADA, ...GREEDY, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ finish_reason: 'stop', new_tokens: at, prompt_tokens: prompt.length });
  });

  it('asks an unknown role by its name alone and suggests the nearest', async () => {
    const { code, stderr } = await generate('--role', 'Ada Quil', '--question', 'Hm?', ...GREEDY);
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /nothing about a role "Ada Quil"; its prompt has the name only\. Did you mean "Ada Quill"\?$/m,
    );
  });

  it('ends the answer with a line end and code 130 on Ctrl-C', async () => {
    const args = ['generate', 'config.yaml', ...ADA, '--temperature', '0', '--max-new-tokens', '3500'];
    const { process: child, done } = startRocit(args, { cwd: folder });
    child.stdout?.once('data', () => child.kill('SIGINT'));
    const { code, stdout, stderr } = await done;
    expect(code).toBe(130);
    expect(stdout).toMatch(/[^\n]\n$/);
    expect(stderr).toMatch(/^prompt .* \(interrupted\)\.$/m);
    expect(stderr).toMatch(/^stopped by SIGINT$/m);
  });
});

describe('rocit generate: mistakes end with 2 and nothing on stdout', () => {
  it('all wrong numbers and texts at once', async () => {
    const wrong = ['--temperature', '-1', '--top-p', '0', '--max-new-tokens', '1.5', '--seed', 'x'];
    expect(await generate('--role', ' ', '--question', '', ...wrong)).toMatchInlineSnapshot(`
      {
        "code": 2,
        "signal": null,
        "stderr": "--role: expected a name, got " "; see \`rocit generate --help\`.
      --question: expected a text, got ""; see \`rocit generate --help\`.
      --temperature: expected a number from 0 up, got -1; see \`rocit generate --help\`.
      --top-p: expected a number above 0 and at most 1, got 0; see \`rocit generate --help\`.
      --max-new-tokens: expected a whole number from 1 up, got 1.5; see \`rocit generate --help\`.
      --seed: expected a whole number from 0 up, got NaN; see \`rocit generate --help\`.
      ",
        "stdout": "",
      }
    `);
  });

  it('no question', async () => {
    const { code, stderr } = await generate('--role', 'Ada Quill');
    expect(code).toBe(2);
    expect(stderr).toBe('command line: Missing required argument: question; `rocit --help` lists verbs and flags.\n');
  });

  it('an answer that does not fit into the model', async () => {
    const { code, stdout, stderr } = await generate(...ADA, '--max-new-tokens', '5000');
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(
      /prompt: expected at most the model's 4096 tokens with the answer, got \d+ and 5000 new ones; ask for at most \d+ new tokens\.$/m,
    );
  });
});
