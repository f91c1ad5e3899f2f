// Writers that remember what was acknowledged, and a watcher that resumes: what a crash of the server is judged by.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { ConfigMap } from '../../src/api/generated/types.ts';
import { Tables } from '../../src/api/tables.ts';
import { TransportError } from '../../src/client/connections.ts';
import { type HttpsClient, httpsClient } from '../../src/client/https.ts';
import { accessFrom, readKubeconfig } from '../../src/client/kubeconfig.ts';
import { StatusError } from '../../src/machinery/status.ts';
import { realClock } from '../../src/platform/environment.ts';
import type { TestCluster } from './harness.ts';

/** One attempt to change one object. Unknown: no answer came, and the state found later did not tell either. */
interface Attempt {
  readonly type: 'put' | 'delete';
  readonly value: string;
  outcome: 'acknowledged' | 'unknown';
  /** Of an acknowledged put. */
  resourceVersion?: string;
}

interface Seen {
  readonly type: 'put' | 'delete';
  readonly value: string;
  readonly resourceVersion: string;
}

/** A client with connections of its own, as the cluster's administrator. */
export async function adminClient(cluster: TestCluster): Promise<HttpsClient> {
  const access = await accessFrom(await readKubeconfig(join(cluster.root, 'admin.kubeconfig')));
  return httpsClient({ access, tables: new Tables(), clock: realClock, requestTimeoutMs: 10_000 });
}

/** No answer, or one that says that it cannot be known: the write may have happened. */
function isOutage(error: unknown): boolean {
  return error instanceof TransportError || (error instanceof StatusError && error.code >= 500);
}

/** Asks until it is answered: reads may be repeated. */
async function untilAnswered<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!isOutage(error)) throw error;
      signal.throwIfAborted();
      await pause(10);
    }
  }
}

/** Everything that writers did to objects of their own in one namespace, by object. */
export class WriteLoad {
  readonly attempts = new Map<string, Attempt[]>();
  readonly #cluster: TestCluster;
  readonly #namespace: string;
  readonly #clients: HttpsClient[] = [];
  readonly #stop = new AbortController();
  readonly #abandoned = new AbortController();
  #writers: Promise<void>[] = [];
  /** The first thing that a writer could not explain. */
  #failure: unknown;
  #lastAcknowledgedMs = 0;

  constructor(cluster: TestCluster, namespace: string) {
    this.#cluster = cluster;
    this.#namespace = namespace;
  }

  get acknowledged(): number {
    return [...this.attempts.values()].flat().filter((a) => a.outcome === 'acknowledged').length;
  }

  get unknown(): number {
    return [...this.attempts.values()].flat().filter((a) => a.outcome === 'unknown').length;
  }

  /** On performance.now()'s scale. */
  get lastAcknowledgedMs(): number {
    return this.#lastAcknowledgedMs;
  }

  /** `connections` clients, each with `writers` loops over objects of their own. */
  async start(connections: number, writers: number): Promise<void> {
    for (let c = 0; c < connections; c++) {
      const client = await adminClient(this.#cluster);
      this.#clients.push(client);
      for (let w = 0; w < writers; w++) this.#writers.push(this.#write(client, `load-${c}-${w}`));
    }
    for (const writer of this.#writers) {
      writer.catch((error: unknown) => {
        this.#failure ??= error;
      });
    }
  }

  /** Resolves when so many writes are acknowledged; rejects with what a writer could not explain. */
  async reached(acknowledged: number): Promise<void> {
    const endMs = performance.now() + 120_000;
    while (this.acknowledged < acknowledged) {
      if (this.#failure) throw this.#failure;
      assert.ok(performance.now() < endMs, `${this.acknowledged} of ${acknowledged} writes were acknowledged`);
      await pause(20);
    }
  }

  /** Ends the writers; throws what one of them could not explain. */
  async stop(): Promise<void> {
    this.#stop.abort();
    try {
      await Promise.all(this.#writers);
    } finally {
      this.#writers = [];
      for (const client of this.#clients) client.close();
    }
  }

  /** Ends the writers at once, whatever they are in: for a test that failed. */
  async abandon(): Promise<void> {
    this.#abandoned.abort();
    await this.stop().catch(() => undefined);
  }

  /** Creates, replaces (most often) and deletes one object, one after the other, each on top of what it knows. */
  async #write(client: HttpsClient, name: string): Promise<void> {
    const configmaps = client.resource('configmaps');
    const ref = { namespace: this.#namespace, name };
    const attempts: Attempt[] = [];
    this.attempts.set(name, attempts);
    let current: ConfigMap | undefined;
    for (let i = 0; !this.#stop.signal.aborted; i++) {
      const value = `${name} ${i} `.padEnd(200 + (i % 7) * 300, 'x');
      const type = current && i % 10 === 9 ? 'delete' : 'put';
      const attempt: Attempt = { type, value: type === 'delete' ? current!.data!.value! : value, outcome: 'unknown' };
      attempts.push(attempt);
      const object: ConfigMap = {
        metadata: { ...ref, ...(current && { resourceVersion: current.metadata.resourceVersion! }) },
        data: { value },
      };
      try {
        if (type === 'delete') {
          const { uid, resourceVersion } = current!.metadata;
          await configmaps.delete(ref, { preconditions: { uid: uid!, resourceVersion: resourceVersion! } });
          current = undefined;
        } else {
          current = current ? await configmaps.update(object) : await configmaps.create(object);
          attempt.resourceVersion = current.metadata.resourceVersion!;
        }
        attempt.outcome = 'acknowledged';
        this.#lastAcknowledgedMs = performance.now();
      } catch (error) {
        const late = lateAttempts(attempts);
        if (!isOutage(error) && (late.length === 0 || !isRefusal(error))) {
          throw new Error(`${type} of ${name} (attempt ${i})`, { cause: error });
        }
        if (!isOutage(error)) {
          attempts.pop();
          current = await untilAnswered(() => getOrNone(client, ref), this.#abandoned.signal);
          checkLate(name, current, late);
          continue;
        }
        const found = await untilAnswered(() => getOrNone(client, ref), this.#abandoned.signal);
        checkAfterOutage(name, found, current, attempt);
        current = found;
      }
    }
  }

  /** Every object is as the last acknowledged attempt, or an unknown one after it, left it. */
  async checkPresent(): Promise<void> {
    const client = await adminClient(this.#cluster);
    try {
      const { items } = await client.resource('configmaps').list({ namespace: this.#namespace });
      const byName = new Map(items.map((item) => [item.metadata.name, item]));
      for (const [name, attempts] of this.attempts) {
        const last = attempts.findLastIndex((a) => a.outcome === 'acknowledged');
        const possible = attempts.slice(Math.max(0, last)).map((a) => (a.type === 'put' ? a.value : undefined));
        const found = byName.get(name)?.data?.value;
        assert.ok(possible.includes(found), `${name} is "${found}", expected "${possible.join('" or "')}"`);
      }
    } finally {
      client.close();
    }
  }

  /** The history that a watcher saw is the one that was acknowledged: nothing missing, nothing twice, nothing out of order. */
  checkHistory(seen: ReadonlyMap<string, readonly Seen[]>): number {
    let events = 0;
    for (const [name, attempts] of this.attempts) {
      const history = [...(seen.get(name) ?? [])];
      events += history.length;
      for (const [i, attempt] of attempts.entries()) {
        const [next] = history;
        const happened =
          next?.type === attempt.type &&
          next.value === attempt.value &&
          (attempt.resourceVersion ?? next.resourceVersion) === next.resourceVersion;
        if (happened) history.shift();
        else if (attempt.outcome === 'acknowledged') {
          const after = next ? `${next.type} ${next.value.slice(0, 30)}@${next.resourceVersion}` : 'nothing';
          assert.fail(
            `${name}: the watch does not show attempt ${i} (${attempt.type} ${attempt.value.slice(0, 30)}` +
              `@${attempt.resourceVersion}), but ${after}`,
          );
        }
      }
      assert.deepEqual(history, [], `${name}: the watch showed what was never written, or showed it twice`);
    }
    return events;
  }
}

async function getOrNone(
  client: HttpsClient,
  ref: { readonly namespace: string; readonly name: string },
): Promise<ConfigMap | undefined> {
  try {
    return await client.resource('configmaps').get(ref);
  } catch (error) {
    if (error instanceof StatusError && error.code === 404) return undefined;
    throw error;
  }
}

/** The unknown ones right before the last: with several servers, what a dying one had passed on may happen after we looked. */
function lateAttempts(attempts: readonly Attempt[]): readonly Attempt[] {
  const before = attempts.slice(0, -1);
  return before.slice(before.findLastIndex((attempt) => attempt.outcome === 'acknowledged') + 1);
}

/** The object is not what the writer took it for: a condition of its write does not hold. */
function isRefusal(error: unknown): boolean {
  return error instanceof StatusError && [404, 409].includes(error.code);
}

function checkLate(name: string, found: ConfigMap | undefined, late: readonly Attempt[]): void {
  const written = late.map((attempt) => (attempt.type === 'put' ? attempt.value : undefined));
  assert.ok(written.includes(found?.data?.value), `${name}: changed by nobody that could have`);
}

/** What is found after an outage is what was acknowledged before, or what was being written. */
function checkAfterOutage(
  name: string,
  found: ConfigMap | undefined,
  before: ConfigMap | undefined,
  attempt: Attempt,
): void {
  const unchanged = found?.metadata.resourceVersion === before?.metadata.resourceVersion;
  if (unchanged) {
    assert.equal(found?.data?.value, before?.data?.value, `${name}: changed without a new version`);
    return;
  }
  const written = attempt.type === 'put' ? attempt.value : undefined;
  assert.equal(found?.data?.value, written, `${name}: an acknowledged write is gone`);
}

/** Watches a namespace's objects over HTTPS, goes on from the last version seen whenever it breaks, and keeps what it saw. */
export class ResumingWatcher {
  readonly seen = new Map<string, Seen[]>();
  resumed = 0;
  lastResourceVersion: string;
  readonly #client: HttpsClient;
  readonly #namespace: string;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(client: HttpsClient, namespace: string, from: string) {
    this.#client = client;
    this.#namespace = namespace;
    this.lastResourceVersion = from;
    this.#done = this.#watch();
    // Looked at in stop().
    this.#done.catch(() => undefined);
  }

  /** Resolves when everything up to a version has come. */
  async reached(resourceVersion: string): Promise<void> {
    const endMs = performance.now() + 120_000;
    while (Number(this.lastResourceVersion) < Number(resourceVersion)) {
      if (performance.now() > endMs) assert.fail(`the watch stays at ${this.lastResourceVersion}`);
      await Promise.race([pause(20), this.#done]);
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    try {
      await this.#done;
    } finally {
      this.#client.close();
    }
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        const query = { namespace: this.#namespace, resourceVersion: this.lastResourceVersion };
        for await (const events of this.#client.resource('configmaps').watch(query, signal)) {
          for (const event of events) if (event.type !== 'BOOKMARK') this.#take(event.type, event.object);
        }
      } catch (error) {
        // "Too old" is no outage: the history must be there after a restart.
        if (!isOutage(error)) throw error;
      }
      this.resumed++;
      await pause(10);
    }
  }

  #take(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: ConfigMap): void {
    const resourceVersion = object.metadata.resourceVersion!;
    const last = this.lastResourceVersion;
    assert.ok(Number(resourceVersion) > Number(last), `the watch showed ${resourceVersion} after ${last}`);
    this.lastResourceVersion = resourceVersion;
    const { name } = object.metadata;
    const history = this.seen.get(name) ?? [];
    this.seen.set(name, history);
    if (name === 'kube-root-ca.crt') return;
    const before = history.at(-1);
    assert.equal(type === 'ADDED', !before || before.type === 'delete', `${name}: ${type} after ${before?.type}`);
    history.push({ type: type === 'DELETED' ? 'delete' : 'put', value: object.data?.value ?? '', resourceVersion });
  }
}
