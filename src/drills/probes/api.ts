// A client of the API during a drill: small writes and reads through the one address, and a history of what it was told.
import type { Clock } from '../../lib/clock.ts';
import type { Operation } from '../checkers/linearizability.ts';
import type { RegisterInput, RegisterOutput } from '../checkers/register.ts';
import { type Answer, type Connection, NotSent, type Question } from './connection.ts';
import type { Attempt } from './open-loop.ts';

/** A write that was acknowledged. */
export interface Acknowledged {
  readonly value: string;
  readonly resourceVersion: string;
}

/** What happened to one ConfigMap, as its client knows it. */
export interface KeyHistory {
  readonly initial: string;
  readonly operations: readonly Operation<RegisterInput, RegisterOutput>[];
  /** By value: what it was to replace. Values are written once. */
  readonly replaced: ReadonlyMap<string, string>;
  readonly acknowledged: readonly Acknowledged[];
}

export interface ApiProbeOptions {
  readonly connection: Connection;
  readonly clock: Clock;
  readonly namespace: string;
  /** The ConfigMaps' names begin so. */
  readonly prefix: string;
  readonly keys: number;
  /** Of one question; it is asked twice at most. */
  readonly timeoutMs: number;
}

interface Known {
  readonly value: string;
  readonly resourceVersion: string;
}

interface Key {
  readonly name: string;
  readonly initial: string;
  readonly operations: Operation<RegisterInput, RegisterOutput>[];
  readonly replaced: Map<string, string>;
  readonly acknowledged: Acknowledged[];
  known: Known;
}

/** What came of a question that is asked again once, on a new connection, when it fails. */
interface Asked {
  readonly answer: Answer | undefined;
  readonly error: string | undefined;
  readonly retries: number;
  /** Some asking of it may have been heard without being answered. */
  readonly isUnknown: boolean;
}

const NEVER = Number.POSITIVE_INFINITY;
/** A conflict shows that what is known is old; after so many a write is given up. */
const MAX_SWAPS = 5;
const PREPARE_TIMEOUT_MS = 10_000;

interface ConfigMap {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly data: { readonly value: string };
}

/** Its ConfigMaps are its own: nobody else may write them. */
export class ApiProbe {
  readonly #options: ApiProbeOptions;
  readonly #keys: readonly Key[];
  /** Where a watch of everything that it writes begins. */
  readonly resourceVersion: string;

  private constructor(options: ApiProbeOptions, keys: readonly Key[]) {
    this.#options = options;
    this.#keys = keys;
    this.resourceVersion = keys.at(-1)!.known.resourceVersion;
  }

  /** Makes the ConfigMaps, in a namespace that there is. */
  static async start(options: ApiProbeOptions, signal: AbortSignal): Promise<ApiProbe> {
    const { connection, namespace, prefix } = options;
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    const keys: Key[] = [];
    for (let k = 0; k < options.keys; k++) {
      const name = `${prefix}-${k}`;
      const body = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name, labels: { drill: prefix } },
        data: { value: 'initial' },
      };
      const { code, text } = await connection.insist(
        { method: 'POST', path, body, timeoutMs: PREPARE_TIMEOUT_MS },
        signal,
      );
      // Made by a question whose answer was lost.
      const made =
        code === 409
          ? await connection.insist({ method: 'GET', path: `${path}/${name}`, timeoutMs: PREPARE_TIMEOUT_MS }, signal)
          : { code, text };
      if (made.code !== 201 && made.code !== 200) throw new Error(`cannot make ConfigMap ${name}: ${code} ${text}`);
      const { resourceVersion } = (JSON.parse(made.text) as ConfigMap).metadata;
      const known = { value: 'initial', resourceVersion };
      keys.push({ name, initial: 'initial', operations: [], replaced: new Map(), acknowledged: [], known });
    }
    return new ApiProbe(options, keys);
  }

  histories(): ReadonlyMap<string, KeyHistory> {
    return new Map(this.#keys.map((key) => [key.name, key]));
  }

  /** Replaces the value of one ConfigMap, if it is still as it was last seen. */
  async write(index: number, signal: AbortSignal): Promise<Attempt<string>> {
    const key = this.#keys[index % this.#keys.length]!;
    let retries = 0;
    for (let round = 0; round < MAX_SWAPS; round++) {
      const value = `${index}.${round}`;
      const attempt = await this.#swap(key, value, signal);
      retries += attempt.retries;
      if (attempt.outcome !== 'conflict') return { ...attempt, outcome: attempt.outcome, retries };
      const seen = await this.#read(key, signal);
      if (seen.outcome !== 'ok')
        return { outcome: attempt.isUnknown ? 'unknown' : 'refused', error: seen.error!, retries };
      if (seen.value === value) return { outcome: 'ok', value, retries };
    }
    return { outcome: 'unknown', error: 'conflicts without end', retries };
  }

  /** Reads one ConfigMap as it is now. */
  read(index: number, signal: AbortSignal): Promise<Attempt<string>> {
    return this.#read(this.#keys[index % this.#keys.length]!, signal);
  }

  /** Every ConfigMap once more: what is gone by now is gone. Throws when one cannot be read. */
  async readAll(signal: AbortSignal): Promise<void> {
    for (const key of this.#keys) {
      const { outcome, error } = await this.#read(key, signal);
      if (outcome !== 'ok') throw new Error(`cannot read ${key.name} at the end: ${error}`);
    }
  }

  /** Removes the ConfigMaps. */
  async remove(signal: AbortSignal): Promise<void> {
    const { connection, namespace, prefix } = this.#options;
    const path = `/api/v1/namespaces/${namespace}/configmaps?labelSelector=drill%3D${prefix}`;
    await connection.insist({ method: 'DELETE', path, timeoutMs: PREPARE_TIMEOUT_MS }, signal);
  }

  async #swap(key: Key, value: string, signal: AbortSignal) {
    const { clock } = this.#options;
    const before = key.known;
    const input = { kind: 'swap', expected: before.value, value } as const;
    const body = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: key.name, resourceVersion: before.resourceVersion, labels: { drill: this.#options.prefix } },
      data: { value },
    };
    key.replaced.set(value, before.value);
    const call = clock.monotonic();
    const { answer, error, retries, isUnknown } = await this.#ask('PUT', key, body, signal);
    const end = clock.monotonic();
    if (answer?.code === 200) {
      const { resourceVersion } = (JSON.parse(answer.text) as ConfigMap).metadata;
      if (Number(resourceVersion) > Number(key.known.resourceVersion)) key.known = { value, resourceVersion };
      key.operations.push({ call, return: end, input, output: { kind: 'done' } });
      key.acknowledged.push({ value, resourceVersion });
      return { outcome: 'ok', value, retries, isUnknown: false } as const;
    }
    // Asked twice, a conflict may be with itself.
    if (isUnknown) key.operations.push({ call, return: NEVER, input, output: { kind: 'done' } });
    if (answer?.code === 409) {
      if (!isUnknown) key.operations.push({ call, return: end, input, output: { kind: 'conflict' } });
      return { outcome: 'conflict', retries, isUnknown } as const;
    }
    return { outcome: isUnknown ? 'unknown' : 'refused', error: error!, retries, isUnknown } as const;
  }

  async #read(key: Key, signal: AbortSignal): Promise<Attempt<string>> {
    const { clock } = this.#options;
    const call = clock.monotonic();
    const { answer, error, retries } = await this.#ask('GET', key, undefined, signal);
    const end = clock.monotonic();
    if (answer?.code !== 200) return { outcome: 'refused', error: error ?? `GET ${answer?.code}`, retries };
    const { metadata, data } = JSON.parse(answer.text) as ConfigMap;
    const { resourceVersion } = metadata;
    if (Number(resourceVersion) > Number(key.known.resourceVersion)) key.known = { value: data.value, resourceVersion };
    key.operations.push({ call, return: end, input: { kind: 'read' }, output: { kind: 'value', value: data.value } });
    return { outcome: 'ok', value: data.value, retries };
  }

  #ask(method: 'GET' | 'PUT', key: Key, body: object | undefined, signal: AbortSignal): Promise<Asked> {
    const { connection, namespace, timeoutMs } = this.#options;
    const path = `/api/v1/namespaces/${namespace}/configmaps/${key.name}`;
    return askTwice(connection, { method, path, timeoutMs, ...(body && { body }) }, signal);
  }
}

/** Asks once more, on a new connection, when there is no answer, or one that says that this server cannot do it now. */
export async function askTwice(connection: Connection, question: Question, signal: AbortSignal): Promise<Asked> {
  let isUnknown = false;
  let error = '';
  let last: Answer | undefined;
  for (let retries = 0; retries < 2; retries++) {
    const asked = connection.connects;
    try {
      last = await connection.ask(question, signal);
      if (last.code < 500 && last.code !== 429) return { answer: last, error: undefined, retries, isUnknown };
      error = `${question.method} ${last.code}: ${messageOf(last.text)}`;
      // 503 and 429 say that nothing was done; 500 and 504 do not.
      if (last.code !== 503 && last.code !== 429) isUnknown = true;
    } catch (failure) {
      last = undefined;
      error = `${question.method}: ${(failure as Error).message}`;
      if (!(failure instanceof NotSent)) isUnknown = true;
    }
    if (signal.aborted) return { answer: undefined, error, retries, isUnknown };
    if (retries === 0 && last) connection.renew(asked);
  }
  return { answer: last, error, retries: 1, isUnknown };
}

function messageOf(text: string): string {
  try {
    return (JSON.parse(text) as { readonly message?: string }).message ?? text.slice(0, 200);
  } catch {
    return text.slice(0, 200);
  }
}
