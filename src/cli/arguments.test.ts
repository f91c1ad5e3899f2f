import assert from 'node:assert/strict';
import { test } from 'node:test';
import { helpText, numberFlag, readArguments, UsageError } from './arguments.ts';

test('flags and words are read by the table', () => {
  const { command, flags, words } = readArguments(['logs', 'server', '-f', '--lines', '20']);
  assert.equal(command, 'logs');
  assert.deepEqual(
    [...flags],
    [
      ['follow', true],
      ['lines', '20'],
    ],
  );
  assert.deepEqual(words, ['server']);
});

test('kubectl gets its arguments untouched', () => {
  assert.deepEqual(readArguments(['kubectl', 'get', '--help', '-o', 'wide']).words, ['get', '--help', '-o', 'wide']);
});

test('what is not in the table is refused by name', () => {
  assert.throws(() => readArguments(['fly']), new UsageError('there is no command "fly"; "tsukube help" lists them'));
  assert.throws(() => readArguments(['up', '--fly']), /--fly.*usage: tsukube up/);
  assert.throws(
    () => numberFlag(readArguments(['up', '--port', '70000']), 'port', 1, 65535),
    /from 1 to 65535, not "70000"/,
  );
});

test('help lists every command, and every option of one', () => {
  assert.match(helpText(), /image load FILE/);
  assert.match(helpText('up'), /--simulated VALUE/);
});
