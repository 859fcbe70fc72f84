import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../src/core/errors.ts';
import {
  expandHome,
  isTemporaryName,
  readJsonFile,
  readTextFile,
  recoverFolder,
  replacedFolders,
  sha256,
  sha256File,
  writeFileAtomic,
  writeFolderAtomic,
} from '../../src/core/files.ts';
import { temporaryFolder } from '../support/temporary.ts';

const folder = temporaryFolder();

describe('writeFileAtomic', () => {
  it('makes the folders above, replaces the old content and leaves no other name', () => {
    const path = join(folder, 'a', 'b', 'file.json');
    writeFileAtomic(path, 'old');
    writeFileAtomic(path, 'new');
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readdirSync(join(folder, 'a', 'b'))).toEqual(['file.json']);
  });

  it('keeps the old file and removes its own when it cannot write', () => {
    const path = join(folder, 'taken');
    mkdirSync(join(path, 'inside'), { recursive: true });
    expect(() => writeFileAtomic(path, 'x')).toThrow();
    expect(readdirSync(path)).toEqual(['inside']);
    expect(readdirSync(folder).filter(isTemporaryName)).toEqual([]);
  });
});

describe('writeFolderAtomic', () => {
  it('shows the folder only when it is whole', async () => {
    const path = join(folder, 'step_1');
    const result = await writeFolderAtomic(path, async (temporary) => {
      mkdirSync(join(temporary, 'sub'));
      writeFileSync(join(temporary, 'sub', 'x'), '1');
      expect(existsSync(path)).toBe(false);
      expect(isTemporaryName(temporary.slice(folder.length + 1))).toBe(true);
      return 42;
    });
    expect(result).toBe(42);
    expect(readFileSync(join(path, 'sub', 'x'), 'utf8')).toBe('1');
    expect(readdirSync(folder).filter(isTemporaryName)).toEqual([]);
  });

  it('leaves nothing after an error', async () => {
    const path = join(folder, 'step_2');
    const broken = writeFolderAtomic(path, async (temporary) => {
      writeFileSync(join(temporary, 'x'), '1');
      throw new Error('disk full');
    });
    await expect(broken).rejects.toThrow('disk full');
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(folder).filter(isTemporaryName)).toEqual([]);
  });

  it('replaces an older folder, which stays when the new one cannot be made', async () => {
    const path = join(folder, 'step_3');
    const write = (content: string, error?: Error) =>
      writeFolderAtomic(path, async (temporary) => {
        writeFileSync(join(temporary, 'x'), content);
        expect(existsSync(path)).toBe(content !== 'first');
        if (error) throw error;
      });
    await write('first');
    await write('second');
    expect(readFileSync(join(path, 'x'), 'utf8')).toBe('second');
    await expect(write('third', new Error('disk full'))).rejects.toThrow('disk full');
    expect(readFileSync(join(path, 'x'), 'utf8')).toBe('second');
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('a kill between the two renames loses nothing: the old folder comes back, the new one wins', async () => {
    const path = join(folder, 'step_4');
    const aside = join(folder, '.step_4.replaced');
    mkdirSync(aside);
    writeFileSync(join(aside, 'x'), 'old');
    expect(replacedFolders(folder)).toEqual([path]);
    recoverFolder(path);
    expect(readFileSync(join(path, 'x'), 'utf8')).toBe('old');
    mkdirSync(aside);
    recoverFolder(path);
    expect(existsSync(aside)).toBe(false);
    expect(readFileSync(join(path, 'x'), 'utf8')).toBe('old');
    expect(replacedFolders(folder)).toEqual([]);
  });
});

describe('reading', () => {
  it('a missing file and broken JSON name the file and what was expected', () => {
    expect(() => readTextFile('nowhere/x.txt', 'a role list')).toThrowErrorMatchingInlineSnapshot(
      `[UserError: nowhere/x.txt: expected a role list, got no such file; check the path.]`,
    );
    const path = join(folder, 'broken.json');
    writeFileSync(path, '{"a": 1,\n "b": }');
    expect(() => readJsonFile(path, 'a config')).toThrow(UserError);
    // The words in brackets are those of the JavaScript engine.
    expect(() => readJsonFile(path, 'a config')).toThrow(
      /broken\.json: expected a config as JSON, got text that does not parse \(Unexpected token.*\); restore it\.$/,
    );
  });

  it('a byte order mark is no part of the text', () => {
    const path = join(folder, 'mark.json');
    writeFileSync(path, '\ufeff{"a": 1}');
    expect(readJsonFile(path, 'a config')).toEqual({ a: 1 });
  });

  it('what is not UTF-8 is refused with its line, and UTF-16 by its name', () => {
    const path = join(folder, 'gbk.yaml');
    writeFileSync(path, Buffer.concat([Buffer.from('a: 灯\nb: '), Buffer.from([0xc4, 0xe3]), Buffer.from(' x\n')]));
    expect(() => readTextFile(path, 'a config')).toThrow(
      /gbk\.yaml:2: expected a config in UTF-8, got the bytes 20 C4 E3 20; convert the file .* iconv -f GB18030/,
    );
    writeFileSync(path, Buffer.from('\ufeffa: 1', 'utf16le'));
    expect(() => readTextFile(path, 'a config')).toThrow(
      /gbk\.yaml:1: expected a config in UTF-8, got UTF-16; convert/,
    );
    writeFileSync(path, Buffer.from('{"a": 1}', 'utf16le'));
    expect(() => readTextFile(path, 'a config')).toThrow(/got UTF-16/);
  });

  it('~/ is the home folder', () => {
    expect(expandHome('~/x')).toBe(join(homedir(), 'x'));
    expect(['~', '/a/~/b', '~x/y', 'x'].map(expandHome)).toEqual([homedir(), '/a/~/b', '~x/y', 'x']);
  });

  it('a folder in place of a file is a mistake of the user, not a bug', () => {
    expect(() => readTextFile(folder, 'a config file')).toThrow(UserError);
  });
});

describe('hashes', () => {
  it('are SHA-256 in hex, the same for bytes, text and file', async () => {
    const path = join(folder, 'abc');
    writeFileSync(path, 'abc');
    const known = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
    expect([sha256('abc'), sha256(Buffer.from('abc')), await sha256File(path)]).toEqual([known, known, known]);
  });
});
