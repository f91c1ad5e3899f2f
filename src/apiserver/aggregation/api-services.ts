// APIServices: one for every group version that this server serves itself, kept by it; those that name a Service are watched
// whether they can be asked. Any number of servers do so side by side: every write is conditional and decided alike.
import type { APIService, EndpointSlice, Service } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Resource, type Tables } from '../../api/tables.ts';
import { type BackoffPolicy, backoffMs } from '../../lib/backoff.ts';
import { rfc3339, sleep, type Timer } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { nextTurn } from '../../lib/turns.ts';
import { isReason } from '../../machinery/status.ts';
import type { CachedObject, CacheSet, RequestContext, ResourceApi } from '../contract.ts';
import { servedGroups } from '../discovery/served-groups.ts';
import {
  type Availability,
  discoveryProblem,
  LOCAL,
  PASSED,
  placeProblem,
  rowsOfList,
  withAvailability,
} from './availability.ts';

export interface ApiServicesOptions {
  readonly tables: Tables;
  readonly caches: CacheSet;
  /** Without authorization: what is done here is the server's own doing. */
  readonly api: ResourceApi;
  readonly env: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly context: (signal: AbortSignal) => RequestContext;
  readonly services: {
    service(namespace: string, name: string): Service | undefined;
    endpointSlices(namespace: string, service: string): readonly EndpointSlice[];
  };
  /** Asks an extension API server for a document, as the server itself. */
  readonly ask: (apiService: APIService, path: string, signal: AbortSignal) => Promise<unknown>;
}

/** A group version that another server serves. */
export interface RemoteVersion {
  readonly apiService: APIService;
  readonly group: string;
  readonly version: string;
  readonly available: boolean;
  /** As its discovery told last. */
  readonly resources: readonly Resource[];
}

/** One that answered is asked again after this, one that did not sooner. */
const CHECK_MS = 30_000;
const RETRY_MS = 1_000;
const CHECK_TIMEOUT_MS = 5_000;
const KEEP_RETRY: BackoffPolicy = { initialMs: 50, maximumMs: 10_000, factor: 2, jitter: 0.2 };
const MANAGED = 'kube-aggregator.kubernetes.io/automanaged';
/** Of groups that custom resources make: as upstream. */
const CUSTOM_PRIORITY = { groupPriorityMinimum: 1000, versionPriority: 100 };

interface Remote extends RemoteVersion {
  timer?: Timer;
  checking: boolean;
}

export class ApiServices {
  readonly #options: ApiServicesOptions;
  readonly #row: Resource;
  readonly #signal: AbortSignal;
  readonly #remote = new Map<string, Remote>();
  /** What is served, or its APIServices, may have changed since they were last looked at. */
  #stale = false;
  #keeping = false;

  constructor(options: ApiServicesOptions, row: Resource, signal: AbortSignal) {
    this.#options = options;
    this.#row = row;
    this.#signal = signal;
    signal.addEventListener('abort', () => {
      for (const remote of this.#remote.values()) remote.timer?.cancel();
    });
  }

  /** The group version, when another server serves it. */
  remote(group: string, version: string): RemoteVersion | undefined {
    return this.#remote.get(`${version}.${group}`);
  }

  /** All that others serve, best first. */
  remotes(): readonly RemoteVersion[] {
    const priority = ({ apiService: { spec } }: RemoteVersion): readonly number[] => [
      spec?.groupPriorityMinimum ?? 0,
      spec?.versionPriority ?? 0,
    ];
    return [...this.#remote.values()].sort((a, b) => {
      const [x, y] = [priority(a), priority(b)];
      return y[0]! - x[0]! || y[1]! - x[1]!;
    });
  }

  follow(): void {
    if (this.#signal.aborted) return;
    const cache = this.#options.caches.for(this.#row);
    const after = cache.revision;
    const present = cache.list({}).items;
    for (const name of this.#remote.keys()) if (!present.some((item) => item.name === name)) this.#drop(name);
    for (const item of present) this.#take(item);
    cache.watch({
      filter: {},
      after,
      deliver: (batch) => {
        for (const delivery of batch) {
          if (delivery.type === 'BOOKMARK') continue;
          if (delivery.type === 'DELETED') {
            this.#drop(delivery.object.name);
            this.keepOwn();
          } else this.#take(delivery.object);
        }
      },
      end: () => this.follow(),
      signal: this.#signal,
    });
  }

  /** Keeps the APIServices of what this server serves itself; to be called whenever that has changed. */
  keepOwn(): void {
    this.#stale = true;
    if (!this.#keeping) void this.#keep();
  }

  async #keep(): Promise<void> {
    const { clock, random, log } = this.#options.env;
    this.#keeping = true;
    for (let failures = 0; this.#stale && !this.#signal.aborted; ) {
      // The definitions whose changes come in this turn are all served at its end.
      await nextTurn();
      this.#stale = false;
      try {
        await this.#makeOwn();
        await this.#removeOwn();
        failures = 0;
      } catch (error) {
        if (this.#signal.aborted) break;
        if (failures === 0) log.warn('the API services could not be kept', { reason: String(error) });
        this.#stale = true;
        await sleep(clock, backoffMs(KEEP_RETRY, failures++, random), this.#signal).catch(() => undefined);
      }
    }
    this.#keeping = false;
  }

  async #makeOwn(): Promise<void> {
    const { tables, caches, api, context } = this.#options;
    for (const object of ownApiServices(tables)) {
      if (caches.for(this.#row).get(undefined, object.metadata.name)) continue;
      await api
        .create(context(this.#signal), { resource: this.#row }, structuredClone(object), {})
        .catch(unless('AlreadyExists'));
    }
  }

  /** Another server may know more, or less, by now: whoever serves a group version makes its APIService again. */
  async #removeOwn(): Promise<void> {
    const { tables, caches, api, context } = this.#options;
    const wanted = new Set(ownApiServices(tables).map((one) => one.metadata.name));
    for (const { name, object } of caches.for(this.#row).list({}).items) {
      const isOwn = object.metadata.labels?.[MANAGED] !== undefined && !(object as APIService).spec?.service;
      if (!isOwn || wanted.has(name)) continue;
      await api.delete(context(this.#signal), { resource: this.#row, name }, {}).catch(unless('NotFound'));
    }
  }

  #take(cached: CachedObject): void {
    const apiService = cached.object as APIService;
    const { group = '', version = '', service } = apiService.spec ?? {};
    const { name } = apiService.metadata;
    if (!service) {
      this.#drop(name);
      this.#tell(apiService, LOCAL);
      return;
    }
    const before = this.#remote.get(name);
    const available = before?.available ?? false;
    const remote: Remote = {
      apiService,
      group,
      version,
      available,
      resources: before?.resources ?? [],
      checking: false,
    };
    const isNew = !before || JSON.stringify(before.apiService.spec) !== JSON.stringify(apiService.spec);
    if (!isNew) {
      Object.assign(before, { apiService });
      return;
    }
    before?.timer?.cancel();
    this.#remote.set(name, remote);
    this.#check(remote);
  }

  #drop(name: string): void {
    this.#remote.get(name)?.timer?.cancel();
    this.#remote.delete(name);
  }

  #check(remote: Remote): void {
    if (this.#signal.aborted || this.#remote.get(remote.apiService.metadata.name) !== remote || remote.checking) return;
    remote.checking = true;
    void this.#availabilityOf(remote).then((availability) => {
      remote.checking = false;
      if (this.#signal.aborted || this.#remote.get(remote.apiService.metadata.name) !== remote) return;
      const available = availability.status === 'True';
      Object.assign(remote, { available });
      this.#tell(remote.apiService, availability);
      remote.timer = this.#options.env.clock.timer(available ? CHECK_MS : RETRY_MS, () => this.#check(remote));
    });
  }

  async #availabilityOf(remote: Remote): Promise<Availability> {
    const { services, ask, env } = this.#options;
    const { apiService, group, version } = remote;
    const { namespace = '', name = '' } = apiService.spec?.service ?? {};
    const late = new AbortController();
    const timer = env.clock.timer(CHECK_TIMEOUT_MS, () => late.abort(new Error('context deadline exceeded')));
    try {
      const problem = placeProblem(
        apiService,
        services.service(namespace, name),
        services.endpointSlices(namespace, name),
      );
      if (problem) return problem;
      const list = await ask(apiService, `/apis/${group}/${version}`, AbortSignal.any([late.signal, this.#signal]));
      Object.assign(remote, { resources: rowsOfList(list, group, version) });
      return PASSED;
    } catch (error) {
      return discoveryProblem(error);
    } finally {
      timer.cancel();
    }
  }

  /** Writes the condition where it is not so yet; whoever comes second finds it written. */
  #tell(apiService: APIService, availability: Availability): void {
    const { api, context, env } = this.#options;
    const changed = withAvailability(apiService, availability, rfc3339(env.clock.now()));
    if (!changed) return;
    const target = { resource: this.#row, name: apiService.metadata.name, subresource: 'status' };
    api
      .update(context(this.#signal), target, structuredClone(changed) as Draft<KubeObject> as KubeObject, {})
      .catch((error) => {
        if (this.#signal.aborted || isReason(error, 'Conflict') || isReason(error, 'NotFound')) return;
        env.log.warn('the availability of an API service could not be written', {
          name: target.name,
          reason: String(error),
        });
      });
  }
}

function unless(reason: 'AlreadyExists' | 'NotFound') {
  return (error: unknown): void => {
    if (!isReason(error, reason)) throw error;
  };
}

/** An APIService for every group version of the tables. */
export function ownApiServices(tables: Tables): APIService[] {
  return servedGroups(tables).flatMap(({ name: group, versions }, place) =>
    versions.map((served, i) => {
      const { version } = served;
      const isCustom = served.resources.some((row) => row.custom);
      const priority = isCustom
        ? CUSTOM_PRIORITY
        : { groupPriorityMinimum: group === '' ? 18_000 : 17_900 - place * 10, versionPriority: Math.max(1, 15 - i) };
      return {
        metadata: { name: `${version}.${group}`, labels: { [MANAGED]: isCustom ? 'true' : 'onstart' } },
        spec: { ...(group !== '' && { group }), version, ...priority },
      };
    }),
  );
}

/** "v1beta1.example.com" of a row. */
export function apiServiceName(row: { readonly group: string; readonly version: string }): string {
  return apiVersionOf(row) === row.version ? `${row.version}.` : `${row.version}.${row.group}`;
}
