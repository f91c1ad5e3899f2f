// The whole API server as its clients see it, for tests: real HTTPS on loopback, HTTP/1.1 and HTTP/2, over a memory store.
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { type Agent, Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { after, before } from 'node:test';
import { Registry } from 'prom-client';
import { Tables } from '../api/tables.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLog } from '../lib/log.ts';
import { until } from '../lib/test-until.ts';
import { realClock, realRandom } from '../platform/environment.ts';
import { openMemoryStore } from '../store/memory.ts';
import { issue, type KeyedCertificate } from './auth/certificates.ts';
import { type ApiServer, startApiServer } from './server.ts';
export const clock = new FakeClock(realClock.now());
const env = { clock, random: realRandom, log: silentLog, metrics: new Registry() };
const store = openMemoryStore({ clock });
const stop = new AbortController();
export const certificates = { nowMs: clock.now(), validityMs: 3_600_000, random: realRandom };

/** What the tests' pods and nodes run on is loopback, which no proxy leads to: they let it pass, but for one address. */
const isProxyable = (address: string): boolean => address === '127.0.0.1';

export let server: ApiServer;
export let admin: KeyedCertificate;
export let session: ClientHttp2Session;
export let agent: Agent;

before(async () => {
  const staticTokens = new Map([['viewer-token', { username: 'vera', groups: [] }]]);
  server = await startApiServer({ store, tables: new Tables(), env, staticTokens, isProxyable }, stop.signal);
  admin = issue(server.ca!, {
    commonName: 'admin',
    organizations: ['system:masters'],
    usages: ['client'],
    ...certificates,
  });
  const identity = { ca: server.caCertificate, cert: admin.certificate, key: admin.key };
  session = connectHttp2(server.url, identity);
  agent = new HttpsAgent({ ...identity, keepAlive: true });
});
after(async () => {
  session.destroy();
  agent.destroy();
  await server.close();
  await store.close();
});

export interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly raw: Buffer;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a test looks into is what it asserts
  readonly json: any;
}
export interface Ask {
  readonly body?: unknown;
  readonly headers?: { readonly [name: string]: string };
}
export type Send = (method: string, path: string, ask?: Ask) => Promise<Answer>;

function answerOf(status: number, headers: Answer['headers'], raw: Buffer): Answer {
  const text = raw.toString();
  return {
    status,
    headers,
    raw,
    text,
    get json() {
      return JSON.parse(text);
    },
  };
}

function bodyOf(body: unknown): Buffer | undefined {
  if (body === undefined || Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

export const http2: Send = (method, path, { body, headers = {} } = {}) =>
  new Promise((resolve, reject) => {
    const bytes = bodyOf(body);
    const type = bytes && !('content-type' in headers) ? { 'content-type': 'application/json' } : {};
    const stream = session.request({ ':method': method, ':path': path, ...type, ...headers });
    const chunks: Buffer[] = [];
    let head: Record<string, unknown> = {};
    stream.on('response', (received) => {
      head = received;
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () =>
      resolve(answerOf(head[':status'] as number, head as Answer['headers'], Buffer.concat(chunks))),
    );
    stream.on('error', reject);
    stream.end(bytes);
  });

export const http1With =
  (through: Agent): Send =>
  (method, path, { body, headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      const bytes = bodyOf(body);
      const type = bytes && !('content-type' in headers) ? { 'content-type': 'application/json' } : {};
      const length = bytes ? { 'content-length': String(bytes.length) } : {};
      const all = { ...type, ...length, ...headers };
      const request = httpsRequest(`${server.url}${path}`, { method, agent: through, headers: all });
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve(answerOf(response.statusCode!, response.headers, Buffer.concat(chunks))));
      });
      request.end(bytes);
    });

export const http1: Send = (...ask) => http1With(agent)(...ask);
export const configMap = (name: string, data: object = { k: 'v' }) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
});
export const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';

/** A watch's frames as they come. */
export function watch(path: string, headers: object = {}) {
  const stream = session.request({ ':path': path, ...headers });
  let text = '';
  let status = 0;
  stream.on('response', (head) => {
    status = head[':status']!;
  });
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  return {
    stream,
    get status() {
      return status;
    },
    // biome-ignore lint/suspicious/noExplicitAny: as above
    async frames(count: number): Promise<any[]> {
      const complete = () => text.split('\n').slice(0, -1);
      await until(`${count} frames`, () => complete().length >= count || stream.destroyed);
      return complete().map((line) => JSON.parse(line));
    },
  };
}
