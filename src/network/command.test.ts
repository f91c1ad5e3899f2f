import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CommandError, hostCommands, inNetworkNamespace, output, succeeds } from './command.ts';

test('a command gets its input and its output comes back whole', async () => {
  assert.equal(await output(hostCommands, ['cat'], { stdin: 'some text\n' }), 'some text\n');
});

test('an exit code is a result, and an error only where success is asked for', async () => {
  const result = await hostCommands(['sh', '-c', 'echo said >&2; exit 3']);
  assert.deepEqual(result, { code: 3, stdout: '', stderr: 'said\n' });
  assert.equal(await succeeds(hostCommands, ['false']), false);
  await assert.rejects(output(hostCommands, ['sh', '-c', 'echo said >&2; exit 3']), (error: unknown) => {
    assert.ok(error instanceof CommandError);
    assert.equal(error.message, 'sh -c echo said >&2; exit 3: exit code 3: said');
    return true;
  });
});

test('a command that does not exist says so, with its cause', async () => {
  await assert.rejects(hostCommands(['tsukube-no-such-command']), (error: unknown) => {
    assert.ok(error instanceof Error);
    assert.equal(error.message, 'cannot run tsukube-no-such-command');
    assert.equal((error.cause as NodeJS.ErrnoException).code, 'ENOENT');
    return true;
  });
});

test('aborting kills the command and rejects with the reason', async () => {
  const abort = new AbortController();
  const run = hostCommands(['sleep', '1000'], { signal: abort.signal });
  abort.abort(new Error('enough'));
  await assert.rejects(run, /enough/);
});

test('another network namespace is a prefix of the command', async () => {
  const run = inNetworkNamespace('/run/netns/a', async (argv) => ({ code: 0, stdout: argv.join(' '), stderr: '' }));
  assert.equal(await output(run, ['ip', 'link']), 'nsenter --net=/run/netns/a -- ip link');
});
