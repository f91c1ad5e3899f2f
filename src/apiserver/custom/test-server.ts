// A server over a memory store as clients see it, for tests of custom resources.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:https';
import { after, before } from 'node:test';
import { Registry } from 'prom-client';
import { Tables } from '../../api/tables.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { until } from '../../lib/test-until.ts';
import { realClock, realRandom } from '../../platform/environment.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { type ApiServer, startApiServer } from '../server.ts';

export const clock = new FakeClock(realClock.now());
export const store = openMemoryStore({ clock });
export const stop = new AbortController();
let server: ApiServer;
let agent: Agent;

before(async () => {
  const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
  const staticTokens = new Map([['admin', { username: 'admin', groups: ['system:masters'] }]]);
  server = await startApiServer({ store, tables: new Tables(), env, staticTokens }, stop.signal);
  agent = new Agent({ ca: server.caCertificate, keepAlive: true });
});
after(async () => {
  agent.destroy();
  await server.close();
  await store.close();
});

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly warnings: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a test looks into is what it asserts
  readonly json: any;
}

export function ask(
  method: string,
  path: string,
  body?: unknown,
  headers: { [name: string]: string } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const type = { 'content-type': 'application/json', authorization: 'Bearer admin', ...headers };
    const sent = request(`${server.url}${path}`, { method, agent, headers: type }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => {
        const warnings = String(response.headers.warning ?? '');
        resolve({
          status: response.statusCode!,
          text,
          warnings,
          json: text.startsWith('{') ? JSON.parse(text) : undefined,
        });
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  });
}

export const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

export interface Version {
  readonly name?: string;
  readonly [member: string]: unknown;
}

export function definition(kind: string, versions: readonly Version[], more: object = {}): object {
  const plural = `${kind.toLowerCase()}s`;
  return {
    metadata: { name: `${plural}.example.com` },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural, kind },
      versions: versions.map((one) => ({ name: 'v1', served: true, storage: true, ...one })),
      ...more,
    },
  };
}

export const schema = (spec: object): Version => ({
  schema: {
    openAPIV3Schema: {
      type: 'object',
      properties: {
        spec: { type: 'object', ...spec },
        status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
      },
    },
  },
});

export async function define(kind: string, versions: readonly Version[], more?: object): Promise<string> {
  const made = await ask('POST', DEFINITIONS, definition(kind, versions, more));
  assert.equal(made.status, 201, made.text);
  const plural = `${kind.toLowerCase()}s`;
  await until(`${kind} is served`, async () => (await ask('GET', `/apis/example.com/v1/${plural}`)).status === 200);
  return `/apis/example.com/v1/namespaces/default/${plural}`;
}

export const object = (kind: string, name: string, more: object): object => ({
  apiVersion: 'example.com/v1',
  kind,
  metadata: { name },
  ...more,
});

export const merge = { 'content-type': 'application/merge-patch+json' };

export async function deleteDefinition(name: string): Promise<void> {
  assert.equal((await ask('DELETE', `${DEFINITIONS}/${name}`)).status, 200);
  await until(`${name} is gone`, async () => {
    await clock.advance(1000);
    return (await ask('GET', `${DEFINITIONS}/${name}`)).status === 404;
  });
}

/** The events of a watch, as they come; `ended` once it is over. */
export function watching(path: string): {
  readonly events: { type: string; object: { spec?: object } }[];
  ended: boolean;
  stop: () => void;
} {
  const seen = {
    events: [] as { type: string; object: { spec?: object } }[],
    ended: false,
    stop: (): void => undefined,
  };
  const headers = { authorization: 'Bearer admin' };
  const sent = request(`${server.url}${path}`, { agent, headers }, (response) => {
    let rest = '';
    response.on('data', (chunk) => {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop()!;
      for (const line of lines) seen.events.push(JSON.parse(line));
    });
    response.on('close', () => {
      seen.ended = true;
    });
    response.on('error', () => undefined);
  });
  sent.on('error', () => undefined);
  sent.end();
  seen.stop = () => void sent.destroy();
  return seen;
}
