import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '../../api/generated/types.ts';
import type { Directories } from '../directories.ts';
import { volumeMounts } from './container-mounts.ts';

const mounts = (mount: object) => {
  const container = { name: 'c', image: 'i', volumeMounts: [{ name: 'v', mountPath: 'data', ...mount }] } as Container;
  const pod: Pod = { metadata: { name: 'p', uid: 'u' }, spec: { containers: [container] } };
  const variables = new Map([
    ['ABSOLUTE', '/tmp'],
    ['UP', 'a/../../b'],
  ]);
  return volumeMounts({
    pod,
    container,
    volumes: new Map([['v', '/volumes/v']]),
    directories: {} as Directories,
    variable: (name) => variables.get(name),
  });
};

test('a mount of the whole volume', async () => {
  assert.deepEqual(await mounts({ readOnly: true }), [
    { hostPath: '/volumes/v', containerPath: '/data', readonly: true, propagation: 'PROPAGATION_PRIVATE' },
  ]);
});

test('sub-paths that cannot be are refused in upstream’s words', async () => {
  const refused = async (subPathExpr: string, message: string): Promise<void> =>
    assert.rejects(mounts({ subPathExpr }), { message });
  await refused('$(ABSOLUTE)', 'error SubPath `/tmp` must not be an absolute path');
  await refused('$(UP)', "unable to provision SubPath `a/../../b`: must not contain '..'");
  await refused('x/$(NONE)', 'failed to expand subPath for VolumeMount "v": missing value for "NONE"');
});
