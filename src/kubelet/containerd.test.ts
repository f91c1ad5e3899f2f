import assert from 'node:assert/strict';
import { test } from 'node:test';
import { containerdConfig } from './containerd.ts';

const options = { rootDir: '/r', stateDir: '/s', configDir: '/c', cniConfDir: '/n', cniBinDir: '/b' };

test('the configuration follows what the machine allows', () => {
  const bare = containerdConfig(options, { systemdCgroup: false, mayLowerOomScore: false, apparmor: false });
  const full = containerdConfig(options, { systemdCgroup: true, mayLowerOomScore: true, apparmor: true });
  const value = (text: string, key: string): string | undefined =>
    new RegExp(`^\\s*${key} = (.*)$`, 'm').exec(text)?.[1];
  const settings = ['SystemdCgroup', 'restrict_oom_score_adj', 'disable_apparmor'];
  assert.deepEqual(
    settings.map((key) => value(bare, key)),
    ['false', 'true', 'true'],
  );
  assert.deepEqual(
    settings.map((key) => value(full, key)),
    ['true', 'false', 'false'],
  );
  assert.deepEqual(
    [value(bare, 'root'), value(bare, 'address'), value(bare, 'conf_dir')],
    ['"/r"', '"/s/containerd.sock"', '"/n"'],
  );
  assert.equal(value(bare, 'Root'), '"/s/runc"');
});
