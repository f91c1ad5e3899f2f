// A real cluster for one test file: up with two web images, down at the end, with proof that nothing stayed behind.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { BUNDLE, eventually, must, REPOSITORY, requireBuilt, run, TestCluster } from './harness.ts';
import { leaked, type Traces, traces } from './leaks.ts';

/** Two versions of a web server that answers with its host name, and with its version at /version. */
export const WEB_1 = 'docker.io/library/web:1';
export const WEB_2 = 'docker.io/library/web:2';
/** Has curl. */
export const CLIENT = 'docker.io/library/client:1';
const IMAGES = new Map([
  [WEB_1, 'web'],
  [WEB_2, 'web'],
  [CLIENT, 'client'],
]);

/** Nothing waits for a grace period; a stop that hangs until it is killed takes longer. */
const DOWN_WITHIN_SECONDS = 28;

export class RealCluster extends TestCluster {
  readonly #before: Traces;
  #isUp = true;

  private constructor(name: string, directory: string) {
    super(name, directory);
    this.#before = traces();
  }

  static async start(name: string): Promise<RealCluster> {
    const cluster = await RealCluster.prepare(name);
    try {
      await cluster.tsukube(['up', '--port', '7443', '--kubelet-port', '20250']);
      // The client runs by the path that the kubectl command unpacks it to.
      await cluster.tsukube(['kubectl', 'version']);
      await cluster.loadImages(WEB_1, WEB_2, CLIENT);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** A cluster that is not up yet; what is on the machine now is no leak of it. */
  static async prepare(name: string): Promise<RealCluster> {
    requireBuilt();
    return new RealCluster(name, await mkdtemp(join(tmpdir(), `tsukube-${name}-`)));
  }

  async loadImages(...images: readonly string[]): Promise<void> {
    for (const image of images) {
      const file = join(this.directory, 'image.tar');
      await must(process.execPath, [join(REPOSITORY, 'scripts', 'make-image.ts'), IMAGES.get(image)!, image, file]);
      await this.tsukube(['image', 'load', file]);
    }
  }

  /** For `after`: takes the cluster down if its test did not. */
  async stop(): Promise<void> {
    if (this.#isUp) await this.tsukube(['down']);
    this.#isUp = false;
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Takes the cluster down and fails with what it left behind on the machine. */
  async downLeavesNothing(): Promise<void> {
    const began = performance.now();
    const said = await run(process.execPath, [BUNDLE, 'down'], { env: this.env, timeoutMs: 120_000 });
    this.#isUp = false;
    assert.equal(said.code, 0, said.stderr);
    const seconds = (performance.now() - began) / 1000;
    assert.ok(seconds < DOWN_WITHIN_SECONDS, `down took ${seconds} s:\n${said.stderr}`);
    // A process that was told to end may take a moment until its entry in /proc is gone.
    await eventually('nothing is left behind', async () => {
      assert.deepEqual(leaked(this.#before, traces()), []);
      return true;
    });
  }

  /** The names of pods with a label, those that are on their way out left aside. */
  async pods(selector: string): Promise<string[]> {
    const { items } = await this.json<{ items: { metadata: { name: string; deletionTimestamp?: string } }[] }>([
      'get',
      'pods',
      '-l',
      selector,
    ]);
    return items.filter((pod) => !pod.metadata.deletionTimestamp).map((pod) => pod.metadata.name);
  }

  field(what: string, jsonpath: string): Promise<string> {
    return this.kubectl(['get', ...what.split(' '), '-o', `jsonpath=${jsonpath}`]);
  }

  async apply(...objects: readonly object[]): Promise<string> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    return this.kubectl(['apply', '-f', '-'], { input: JSON.stringify(list) });
  }

  rolledOut(name: string): Promise<string> {
    return this.kubectl(['rollout', 'status', `deployment/${name}`, '--timeout=120s']);
  }

  ready(pod: string): Promise<string> {
    return this.kubectl(['wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=120s']);
  }

  /** Runs a shell line in a pod and returns what it prints. */
  shell(pod: string, line: string): Promise<string> {
    return this.kubectl(['exec', pod, '--', 'sh', '-c', line]);
  }

  /** Waits for an event of an object by its reason and returns its message. */
  event(object: string, reason: string, matching = /./): Promise<string> {
    return eventually(`event ${reason} of ${object}`, async () => {
      const selector = `involvedObject.name=${object},reason=${reason}`;
      const { items } = await this.json<{ items: { message: string }[] }>([
        'get',
        'events',
        `--field-selector=${selector}`,
      ]);
      return items.map((event) => event.message).find((message) => matching.test(message));
    });
  }
}

/** The body of a GET over a connection of its own. Rejects for anything but 200, and after ten seconds. */
export function fetchOnce(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('error', reject);
      response.on('end', () =>
        response.statusCode === 200 ? resolve(body.trim()) : reject(new Error(`${url}: ${response.statusCode}`)),
      );
    });
    request.on('timeout', () => request.destroy(new Error(`${url}: no answer within 10 s`)));
    request.on('error', reject);
  });
}

export interface ClientReport {
  readonly requests: number;
  readonly retried: number;
  readonly failed: readonly string[];
}

/** A client that asks without pause and, when a request fails, once more. Runs while the work runs. */
export async function clientDuring(url: string, work: () => Promise<unknown>): Promise<ClientReport> {
  const failed: string[] = [];
  let requests = 0;
  let retried = 0;
  let isOver = false;
  let atLeast = LEAST_REQUESTS;
  const loop = (async () => {
    while (!isOver || requests < atLeast) {
      requests++;
      await fetchOnce(url).catch(async () => {
        retried++;
        await pause(RETRY_AFTER_MS);
        await fetchOnce(url).catch((error: Error) => failed.push(error.message));
      });
      await pause(5);
    }
  })();
  try {
    await work();
  } catch (error) {
    atLeast = 0;
    throw error;
  } finally {
    isOver = true;
    await loop;
  }
  return { requests, retried, failed };
}

/** Work that is over sooner is watched for a little longer. */
const LEAST_REQUESTS = 25;

/** As clients do (a browser, gRPC's first back-off): not in the very same millisecond. */
const RETRY_AFTER_MS = 200;
