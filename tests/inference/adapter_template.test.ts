import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { adapterFolder } from '../../src/checkpoint/adapter_folder.ts';
import { promptTemplate } from '../../src/data/templates.ts';
import { adapterTemplate, templateDifference } from '../../src/inference/adapter_template.ts';
import { temporaryFolder } from '../support/temporary.ts';

const root = temporaryFolder();

function makeRun(name: string, links: Record<string, string>): string {
  const run = join(root, name);
  for (const step of Object.values(links)) {
    mkdirSync(join(run, step), { recursive: true });
    writeFileSync(join(run, step, 'adapter_config.json'), '{}');
  }
  for (const [link, step] of Object.entries(links)) symlinkSync(step, join(run, link));
  return run;
}

describe('adapterFolder', () => {
  it('is null for none and for null', () => {
    expect(adapterFolder('none')).toBeNull();
    expect(adapterFolder(null)).toBeNull();
  });

  it('takes a PEFT folder as it is, and of a run the best checkpoint, else the last', () => {
    const run = makeRun('both', { best: 'step_000001', last: 'step_000002' });
    expect(adapterFolder(join(run, 'step_000002'))).toBe(join(run, 'step_000002'));
    expect(adapterFolder(run)).toBe(join(run, 'best'));
    const early = makeRun('early', { last: 'step_000001' });
    expect(adapterFolder(early)).toBe(join(early, 'last'));
  });

  it('refuses a folder that is not there and one without an adapter', () => {
    mkdirSync(join(root, 'empty'));
    const refused = (name: string) => () => adapterFolder(join(root, name));
    expect(refused('nowhere')).toThrow(/nowhere: expected an adapter or the folder of a run, got no such folder; /);
    expect(refused('empty')).toThrow(/got a folder without adapter_config\.json, best and last; check the path\.$/);
  });
});

describe('adapterTemplate', () => {
  it('reads the stored template, and is null where there is none', () => {
    const run = makeRun('stored', { best: 'step_000001' });
    expect(adapterTemplate(join(run, 'best'))).toBeNull();
    expect(adapterTemplate(null)).toBeNull();
    const template = promptTemplate('rolellama', 'zh', null);
    writeFileSync(join(run, 'best', 'prompt_template.json'), JSON.stringify(template));
    expect(adapterTemplate(join(run, 'best'))).toEqual(template);
  });
});

describe('templateDifference', () => {
  const rolellama = promptTemplate('rolellama', 'eng', null);
  it('is null for equal templates and names what differs else', () => {
    expect(templateDifference(rolellama, structuredClone(rolellama))).toBeNull();
    expect(templateDifference(rolellama, promptTemplate('chat_template', 'eng', 'x'))).toBe(
      'rolellama and chat_template',
    );
    expect(templateDifference(rolellama, promptTemplate('rolellama', 'zh', null))).toBe('rolellama in eng and in zh');
    const changed = {
      ...rolellama,
      system_instruction: { ...rolellama.system_instruction, with_description: '{role}' },
    };
    expect(templateDifference(rolellama, changed)).toBe('two versions of rolellama');
  });
});
