// Templates and prompts: exact wording, exact markup, ids as Python gives them for the whole prompt, targets.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createPromptEncoder, type PromptEncoder } from '../../src/data/prompt.ts';
import type { ChatMessage, Segment } from '../../src/data/sample.ts';
import { roleMessages } from '../../src/data/source.ts';
import { fillSystemInstruction, promptTemplate, readPromptTemplate } from '../../src/data/templates.ts';
import { loadTokenizer, type Tokenizer } from '../../src/data/tokenizer.ts';
import { inRepository } from '../support/paths.ts';
import { temporaryFolder } from '../support/temporary.ts';

const goldens = inRepository('tests', 'goldens');
const folders = {
  tiny: join(goldens, 'tiny_tokenizer'),
  tiny_llama: join(goldens, 'tiny_tokenizer_llama'),
  smollm2: inRepository('checkpoints', 'base', 'smollm2-135m-instruct'),
};
const root = temporaryFolder();

const conversation: ChatMessage[] = [
  { role: 'system', content: 'You are Mara. 话不多。' },
  { role: 'user', content: 'What did the storm teach you?  你看见了什么？' },
  { role: 'assistant', content: 'The lamp. 灯。' },
];

/** Segments as one text, targets in white brackets, special tokens in angle quotes. */
function spell(segments: Segment[]): string {
  const parts = segments.map((segment) => {
    const text = 'token' in segment ? `‹${segment.token}›` : segment.text;
    return segment.is_target ? `⟦${text}⟧` : text;
  });
  return parts.join('').replaceAll('⟧⟦', '');
}

/** The text of all target tokens. */
function targetText(tokenizer: Tokenizer, { input_ids, is_target }: { input_ids: number[]; is_target: number[] }) {
  return tokenizer.decode(input_ids.filter((_, i) => is_target[i] === 1));
}

/** Ids and targets of one conversation; throws what refuses it. */
async function encode(encoder: PromptEncoder, messages: readonly ChatMessage[]) {
  const [result] = await encoder.encode([messages]);
  if (result === undefined || result instanceof Error) throw result;
  return { ...result, input_ids: [...result.input_ids], is_target: [...result.is_target] };
}

async function encodePrompt(encoder: PromptEncoder, messages: readonly ChatMessage[]) {
  return [...(await encoder.encodePrompt(messages))];
}

describe('the system instruction', () => {
  it('has the wording of the paper, with and without a description', () => {
    const eng = promptTemplate('rolellama', 'eng', null);
    expect(fillSystemInstruction(eng, 'Mara', 'brave {role}')).toMatchInlineSnapshot(
      `"You are Mara, your description is: brave {role}. Now please answer some questions to accurately show your personality traits! Your speaking style should fully imitate the personality role assigned to you! Please do not expose that you are an artificial intelligence model or a language model, you must always remember that you are only assigned one personality role. Don't be verbose or too formal or polite when speaking."`,
    );
    expect(fillSystemInstruction(eng, '$& Mara', null)).toMatchInlineSnapshot(
      `"You are $& Mara. Now please answer some questions to accurately show your personality traits! Your speaking style should fully imitate the personality role assigned to you! Please do not expose that you are an artificial intelligence model or a language model, you must always remember that you are only assigned one personality role. Don't be verbose or too formal or polite when speaking."`,
    );
    const zh = promptTemplate('rolellama', 'zh', null);
    expect(fillSystemInstruction(zh, '李白', '好酒')).toMatchInlineSnapshot(
      `"你是李白，你的特征描述是：好酒。现在请你回答我的一些问题，以准确展现你的人格特征！你的说话风格要全面模仿被赋予的人格角色！请不要暴露你是人工智能模型或者语言模型，你要时刻记住你只被赋予的一个人格角色。说话不要啰嗦，也不要太过于正式或礼貌。"`,
    );
    expect(fillSystemInstruction(zh, '李白', null)).toMatchInlineSnapshot(
      `"你是李白。现在请你回答我的一些问题，以准确展现你的人格特征！你的说话风格要全面模仿被赋予的人格角色！请不要暴露你是人工智能模型或者语言模型，你要时刻记住你只被赋予的一个人格角色。说话不要啰嗦，也不要太过于正式或礼貌。"`,
    );
  });

  it('comes before the question', () => {
    const template = promptTemplate('rolellama', 'zh', null);
    expect(roleMessages(template, '李白', null, '你好').map(({ role }) => role)).toEqual(['system', 'user']);
  });
});

describe('rolellama', () => {
  it('writes the markup of the paper, and learns the response and its end', async () => {
    const tokenizer = await loadTokenizer(folders.tiny_llama);
    const encoder = createPromptEncoder(tokenizer, promptTemplate('rolellama', 'eng', null));
    expect(spell(encoder.segments(conversation))).toMatchInlineSnapshot(`
      "### Instruction:
      You are Mara. 话不多。‹</s>›

      ### Input:
      What did the storm teach you?  你看见了什么？‹</s>›

      ### Response:
      ⟦The lamp. 灯。‹</s>›⟧"
    `);
    expect(targetText(tokenizer, await encode(encoder, conversation))).toBe('The lamp. 灯。</s>');
  });

  it('puts BOS where the post-processor has it, and no dummy blank before the answer', async () => {
    const tokenizer = await loadTokenizer(folders.tiny_llama);
    const encoder = createPromptEncoder(tokenizer, promptTemplate('rolellama', 'eng', null));
    const { input_ids, is_target } = await encode(encoder, conversation);
    expect(input_ids[0]).toBe(tokenizer.bosId);
    expect(input_ids.filter((id) => id === tokenizer.bosId)).toHaveLength(1);
    const first = input_ids[is_target.indexOf(1)] as number;
    expect(tokenizer.decode([tokenizer.tokenToId('x') ?? 0, first])).toMatch(/^xT/);
  });

  it('learns every assistant turn of a conversation', async () => {
    const tokenizer = await loadTokenizer(folders.tiny);
    const encoder = createPromptEncoder(tokenizer, promptTemplate('rolellama', 'eng', null));
    const long: ChatMessage[] = [
      ...conversation,
      { role: 'user', content: 'And then?' },
      { role: 'assistant', content: 'Rain.' },
      { role: 'user', content: 'left out: no answer' },
    ];
    const encoded = await encode(encoder, long);
    expect(targetText(tokenizer, encoded)).toBe('The lamp. 灯。<|im_end|>Rain.<|im_end|>');
    expect(tokenizer.decode(encoded.input_ids)).not.toContain('left out');
    const prompt = await encodePrompt(encoder, long.slice(0, 4));
    expect(encoded.input_ids.slice(0, prompt.length)).toEqual(prompt);
  });
});

describe.each(Object.entries(folders))('prompts with tokenizer %s', (name, folder) => {
  const isThere = existsSync(folder);
  it.skipIf(!isThere)(
    'have the ids of the whole prompt in one piece, and generation sees what training saw',
    async () => {
      const tokenizer = await loadTokenizer(folder);
      const { prompts } = JSON.parse(readFileSync(join(goldens, `tokenizer_${name}.json`), 'utf8'));
      for (const template of ['rolellama', 'chat_template'] as const) {
        if (template === 'chat_template' && tokenizer.chatTemplate === null) continue;
        const encoder = createPromptEncoder(tokenizer, promptTemplate(template, 'eng', tokenizer.chatTemplate));
        const { input_ids, is_target } = await encode(encoder, conversation);
        const prompt = input_ids.slice(0, is_target.indexOf(1));
        expect(prompt).toEqual(prompts[template === 'rolellama' ? 'rolellama' : 'chatml']);
        expect(await encodePrompt(encoder, conversation.slice(0, 2))).toEqual(prompt);
        expect(is_target.lastIndexOf(0)).toBe(prompt.length - 1);
      }
    },
  );

  it.skipIf(!isThere)('never hold a special token that comes from the data', async () => {
    const tokenizer = await loadTokenizer(folder);
    const names = tokenizer.addedTokens.map(({ content }) => content);
    const special = new Set(tokenizer.addedTokens.map(({ id }) => id));
    const count = (ids: number[]) => ids.filter((id) => special.has(id)).length;
    const evil = names.join(' ');
    for (const template of ['rolellama', 'chat_template'] as const) {
      if (template === 'chat_template' && tokenizer.chatTemplate === null) continue;
      const encoder = createPromptEncoder(tokenizer, promptTemplate(template, 'eng', tokenizer.chatTemplate));
      const attacked = conversation.map(({ role }) => ({ role, content: `${evil} {{ messages }} {% if x %}` }));
      expect(count((await encode(encoder, attacked)).input_ids)).toBe(
        count((await encode(encoder, conversation)).input_ids),
      );
      expect(tokenizer.decode((await encode(encoder, attacked)).input_ids)).toContain('{{ messages }} {% if x %}');
    }
  });
});

describe('chat_template', () => {
  async function encoderOf(source: string, folder = folders.tiny) {
    const tokenizer = await loadTokenizer(folder);
    return { tokenizer, encoder: createPromptEncoder(tokenizer, promptTemplate('chat_template', 'eng', source)) };
  }

  it('learns the answer and the end token that the template writes, in every turn', async () => {
    const { tokenizer } = await encoderOf('');
    const { encoder } = await encoderOf(tokenizer.chatTemplate ?? '');
    const long: ChatMessage[] = [...conversation, { role: 'user', content: 'q' }, { role: 'assistant', content: 'a' }];
    expect(spell(encoder.segments(long))).toMatchInlineSnapshot(`
      "‹<|im_start|>›system
      You are Mara. 话不多。‹<|im_end|>›
      ‹<|im_start|>›user
      What did the storm teach you?  你看见了什么？‹<|im_end|>›
      ‹<|im_start|>›assistant
      ⟦The lamp. 灯。‹<|im_end|>›⟧
      ‹<|im_start|>›user
      q‹<|im_end|>›
      ‹<|im_start|>›assistant
      ⟦a‹<|im_end|>›⟧"
    `);
  });

  it('adds the end token where the template writes none', async () => {
    const { encoder } = await encoderOf(
      "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}" +
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}",
    );
    expect(spell(encoder.segments(conversation))).toMatchInlineSnapshot(`
      "system: You are Mara. 话不多。
      user: What did the storm teach you?  你看见了什么？
      assistant:⟦ The lamp. 灯。‹<|im_end|>›⟧"
    `);
  });

  it('keeps a blank before the end token, as the LLaMA-2 template has it', async () => {
    const { encoder } = await encoderOf(
      "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}" +
        "{% elif m.role == 'assistant' %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}",
      folders.tiny_llama,
    );
    expect(spell(encoder.segments(conversation.slice(1)))).toMatchInlineSnapshot(
      `"‹<s>›[INST] What did the storm teach you?  你看见了什么？ [/INST]⟦ The lamp. 灯。 ‹</s>›⟧"`,
    );
  });

  it('knows one day, which is configured', async () => {
    const source = "{{ strftime_now('%d %B %Y') }}{% for m in messages %}{{ m.content }}{{ '<|im_end|>' }}{% endfor %}";
    const { tokenizer, encoder } = await encoderOf(source);
    expect(spell(encoder.segments(conversation))).toMatch(/^26 July 2024You/);
    const other = createPromptEncoder(tokenizer, promptTemplate('chat_template', 'eng', source, '2026-03-01'));
    expect(spell(other.segments(conversation))).toMatch(/^01 March 2026You/);
  });

  it('that does not parse, or none at all, is a UserError', async () => {
    const tokenizer = await loadTokenizer(folders.tiny);
    const open = () => createPromptEncoder(tokenizer, promptTemplate('chat_template', 'eng', '{% for %}'));
    expect(open).toThrow(/expected a chat template that can be read, got "[^"]+"; set data\.template=rolellama/);
    expect(() => promptTemplate('chat_template', 'eng', null)).toThrow(/got a tokenizer without one/);
  });

  it('that refuses a question is a UserError of generation', async () => {
    const { encoder } = await encoderOf("{{ raise_exception('no system messages') }}");
    await expect(encoder.encodePrompt(conversation.slice(0, 2))).rejects.toMatchObject({
      name: 'UserError',
      message: expect.stringMatching(/got "no system messages"; set data\.template=rolellama or change the messages\./),
    });
  });

  it('says where training taught answers to end', async () => {
    const { tokenizer, encoder } = await encoderOf(
      "{% for m in messages %}{{ m.role + ': ' + m.content + '<|endoftext|>' }}{% endfor %}",
    );
    expect(tokenizer.eosToken).toBe('<|im_end|>');
    expect(encoder.endIds(conversation.slice(0, 2))).toEqual(new Set([tokenizer.tokenToId('<|endoftext|>')]));
  });
});

describe('chatglm2', () => {
  it('needs its special tokens', async () => {
    const tokenizer = await loadTokenizer(folders.tiny);
    expect(() => createPromptEncoder(tokenizer, promptTemplate('chatglm2', 'zh', null))).toThrow(
      /expected a tokenizer with the special token \[gMASK\] of the prompt template, got none/,
    );
  });

  it('writes rounds behind [gMASK] sop, and answers with a dummy blank', async () => {
    const llama = await loadTokenizer(folders.tiny_llama);
    const own: Record<string, number> = { '[gMASK]': 9001, sop: 9002 };
    const tokenizer: Tokenizer = { ...llama, tokenToId: (token) => own[token] ?? llama.tokenToId(token) };
    const encoder = createPromptEncoder(tokenizer, promptTemplate('chatglm2', 'zh', null));
    expect(spell(encoder.segments(conversation))).toMatchInlineSnapshot(`
      "‹[gMASK]›‹sop›You are Mara. 话不多。[Round 1]

      问：What did the storm teach you?  你看见了什么？

      答：⟦The lamp. 灯。‹</s>›⟧"
    `);
    const { input_ids, is_target } = await encode(encoder, conversation);
    expect(input_ids.slice(0, 2)).toEqual([9001, 9002]);
    const answer = input_ids.slice(is_target.indexOf(1));
    const [blank = []] = await llama.encode(['The lamp. 灯。']);
    const [bare = []] = await llama.encode(['The lamp. 灯。'], { dummyBlank: false });
    expect(answer).toEqual([...blank, llama.eosId]);
    expect(answer).not.toEqual([...bare, llama.eosId]);
  });
});

describe('prompt_template.json', () => {
  it.each(['rolellama', 'chatglm2', 'chat_template'] as const)('gives %s back as it was written', (name) => {
    const template = promptTemplate(name, 'zh', '{{ messages }}');
    const path = join(root, `${name}.json`);
    writeFileSync(path, JSON.stringify(template));
    expect(readPromptTemplate(path)).toEqual(template);
  });

  it('of a run that knew no day has the day that its template had', () => {
    const { day, ...old } = promptTemplate('chat_template', 'eng', '{{ messages }}');
    const path = join(root, 'old.json');
    writeFileSync(path, JSON.stringify(old));
    expect(readPromptTemplate(path).day).toBe(day);
  });

  it('of another form is refused', () => {
    const path = join(root, 'other.json');
    writeFileSync(path, '{"format_version": 2}');
    expect(() => readPromptTemplate(path)).toThrow(/expected a prompt template of format_version 1/);
  });
});
