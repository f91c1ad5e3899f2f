import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import { seededRandom } from '../../lib/random.ts';
import { createTokenAuthority, type LiveObject, type TokenAuthority } from './service-account-tokens.ts';

const KEYS = {
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
};

function world(algorithm: keyof typeof KEYS = 'ES256', verificationKeys: string[] = []) {
  const clock = new FakeClock();
  const live = new Map<string, LiveObject>([
    ['sa/ns/app', { uid: 'sa-1' }],
    ['pod/ns/p', { uid: 'pod-1' }],
    ['node/n', { uid: 'node-1' }],
  ]);
  const authority = createTokenAuthority({
    signingKey: pem(algorithm),
    verificationKeys,
    issuer: 'https://kubernetes.default.svc',
    audiences: ['https://kubernetes.default.svc'],
    clock,
    random: seededRandom(7),
    lookups: {
      serviceAccount: (ns, name) => live.get(`sa/${ns}/${name}`),
      pod: (ns, name) => live.get(`pod/${ns}/${name}`),
      secret: (ns, name) => live.get(`secret/${ns}/${name}`),
      node: (name) => live.get(`node/${name}`),
    },
  });
  return { clock, live, authority };
}

const pem = (algorithm: keyof typeof KEYS): string =>
  KEYS[algorithm].export({ type: 'pkcs8', format: 'pem' }).toString();

const CLAIMS = {
  namespace: 'ns',
  serviceAccount: { name: 'app', uid: 'sa-1' },
  audiences: ['https://kubernetes.default.svc', 'vault'],
  expirationSeconds: 600,
  pod: { name: 'p', uid: 'pod-1' },
  node: { name: 'n', uid: 'node-1' },
};

const issue = async (authority: TokenAuthority): Promise<string> => (await authority.issue(CLAIMS)).token;

for (const algorithm of ['ES256', 'RS256'] as const) {
  test(`a token signed with ${algorithm} names its service account`, async () => {
    const { authority } = world(algorithm);
    const found = await authority.authenticate(await issue(authority), ['vault', 'other']);
    assert.deepEqual(found?.audiences, ['vault']);
    assert.equal(found?.user.username, 'system:serviceaccount:ns:app');
    assert.equal(found?.user.uid, 'sa-1');
    assert.deepEqual(found?.user.groups, [
      'system:serviceaccounts',
      'system:serviceaccounts:ns',
      'system:authenticated',
    ]);
    assert.deepEqual(found?.user.extra?.['authentication.kubernetes.io/pod-name'], ['p']);
    assert.deepEqual(found?.user.extra?.['authentication.kubernetes.io/node-uid'], ['node-1']);
  });
}

test('a token expires, also when its signature was checked before', async () => {
  const { authority, clock } = world();
  const token = await issue(authority);
  assert.ok(await authority.authenticate(token));
  await clock.advance(601_000);
  await assert.rejects(authority.authenticate(token), /expired/);
});

test('a token dies with its pod, at once when replaced and after the grace when deleted', async () => {
  const { authority, live, clock } = world();
  const token = await issue(authority);
  live.set('pod/ns/p', { uid: 'pod-1', deletionTimestamp: new Date(clock.now()).toISOString() });
  assert.ok(await authority.authenticate(token));
  await clock.advance(61_000);
  await assert.rejects(authority.authenticate(token), /deleted/);
  live.set('pod/ns/p', { uid: 'pod-2' });
  await assert.rejects(authority.authenticate(token), /replaced/);
  live.delete('pod/ns/p');
  await assert.rejects(authority.authenticate(token), /does not exist/);
});

test('other audiences, other issuers, changed tokens and unknown keys are refused', async () => {
  const { authority } = world();
  const token = await issue(authority);
  await assert.rejects(authority.authenticate(token, ['elsewhere']), /audiences/);
  assert.equal(await authority.authenticate('not-a-jwt'), undefined);
  const [header, , signature] = token.split('.');
  const forged = Buffer.from(JSON.stringify({ iss: authority.issuer, sub: 'x', exp: 1e12 })).toString('base64url');
  await assert.rejects(authority.authenticate(`${header}.${forged}.${signature}`), /signature/);
  const unsigned = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
  await assert.rejects(authority.authenticate(`${unsigned}.${forged}.`));
  await assert.rejects(authority.authenticate(await issue(world('RS256').authority)), /unknown key/);
});

test('a token of an earlier key is good while that key verifies', async () => {
  const token = await issue(world('RS256').authority);
  const rotated = world('ES256', [pem('RS256')]).authority;
  assert.equal((await rotated.authenticate(token))?.user.username, 'system:serviceaccount:ns:app');
  const { keys } = await rotated.keySet();
  assert.deepEqual(
    keys.map((key) => [key.kty, key.alg, key.use]),
    [
      ['EC', 'ES256', 'sig'],
      ['RSA', 'RS256', 'sig'],
    ],
  );
  assert.ok(
    keys.every((key) => key.d === undefined),
    'no private part is published',
  );
});
