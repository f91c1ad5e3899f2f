// A server for the tests of policies, asked over HTTPS.
import { Agent, request } from 'node:https';
import { Registry } from 'prom-client';
import { Tables } from '../../../api/tables.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLog } from '../../../lib/log.ts';
import { realClock, realRandom } from '../../../platform/environment.ts';
import { openMemoryStore } from '../../../store/memory.ts';
import { startApiServer } from '../../server.ts';

// biome-ignore lint/suspicious/noExplicitAny: what a test looks into is what it asserts
export type Json = any;

export interface Answer {
  readonly status: number;
  readonly warnings: string;
  readonly json: Json;
}

export type Ask = (
  method: string,
  path: string,
  body?: object,
  options?: { type?: string; as?: string },
) => Promise<Answer>;

export interface PolicyServer {
  readonly ask: Ask;
  close(): Promise<void>;
}

export async function startPolicyServer(): Promise<PolicyServer> {
  const clock = new FakeClock(realClock.now());
  const store = openMemoryStore({ clock });
  const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
  const staticTokens = new Map([
    ['admin', { username: 'admin', groups: ['system:masters'] }],
    ['reader', { username: 'reader', groups: ['system:authenticated'] }],
  ]);
  const server = await startApiServer({ store, tables: new Tables(), env, staticTokens }, new AbortController().signal);
  const agent = new Agent({ ca: server.caCertificate, keepAlive: true });
  const ask: Ask = (method, path, body, { type = 'application/json', as = 'admin' } = {}) =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': type, authorization: `Bearer ${as}` };
      const sent = request(`${server.url}${path}`, { method, agent, headers }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          const warnings = [response.headers.warning ?? []].flat().join('\n');
          resolve({ status: response.statusCode!, warnings, json: text.startsWith('{') ? JSON.parse(text) : text });
        });
      });
      sent.on('error', reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  return {
    ask,
    async close() {
      agent.destroy();
      await server.close();
      await store.close();
    },
  };
}

const GROUP = '/apis/admissionregistration.k8s.io/v1';

export const rule = (resource: string, more: object = {}): object => ({
  resourceRules: [
    {
      operations: ['CREATE', 'UPDATE'],
      apiGroups: [resource === 'deployments' ? 'apps' : ''],
      apiVersions: ['v1'],
      resources: [resource],
      ...more,
    },
  ],
});

/** Creates a policy and its binding; fails the test if either is refused. */
export async function policy(
  ask: Ask,
  kind: 'validating' | 'mutating',
  name: string,
  spec: object,
  binding: object = {},
): Promise<void> {
  const made = await ask('POST', `${GROUP}/${kind}admissionpolicies`, { metadata: { name }, spec });
  if (made.status !== 201) throw new Error(JSON.stringify(made.json));
  const actions = kind === 'validating' ? { validationActions: ['Deny'] } : {};
  const bound = { metadata: { name: `${name}-binding` }, spec: { policyName: name, ...actions, ...binding } };
  const done = await ask('POST', `${GROUP}/${kind}admissionpolicybindings`, bound);
  if (done.status !== 201) throw new Error(JSON.stringify(done.json));
}

export async function removePolicies(ask: Ask): Promise<void> {
  for (const kind of ['validating', 'mutating']) {
    for (const resource of ['bindings', '']) {
      const path = resource === '' ? `${kind}admissionpolicies` : `${kind}admissionpolicy${resource}`;
      const { status, json } = await ask('DELETE', `${GROUP}/${path}`);
      if (status !== 200) throw new Error(JSON.stringify(json));
    }
  }
}

export const deployment = (name: string, replicas: number, more: object = {}): object => ({
  metadata: { name, ...more },
  spec: {
    replicas,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        containers: [
          { name: 'web', image: 'nginx:1' },
          { name: 'side', image: 'side:1' },
        ],
      },
    },
  },
});
