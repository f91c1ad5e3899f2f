// Keeps the status of ValidatingAdmissionPolicies: the warnings of type checking, and for which generation they are (upstream: the
// controller validatingadmissionpolicy-status). Here, because the types are: those of custom resources too. Any number of
// servers do so side by side: they write the same.
import type { ValidatingAdmissionPolicy } from '../../../api/generated/types.ts';
import type { Resource, Tables } from '../../../api/tables.ts';
import { type BackoffPolicy, backoffMs } from '../../../lib/backoff.ts';
import { sleep } from '../../../lib/clock.ts';
import type { Environment } from '../../../lib/environment.ts';
import { isReason } from '../../../machinery/status.ts';
import type { CacheSet, RequestContext, ResourceApi } from '../../contract.ts';
import { expressionWarnings } from './type-checking.ts';

export interface PolicyStatusOptions {
  readonly tables: Tables;
  readonly caches: CacheSet;
  /** Without authorization: what is done here is the server's own doing. */
  readonly api: ResourceApi;
  readonly env: Pick<Environment, 'clock' | 'random' | 'log'>;
  readonly context: (signal: AbortSignal) => RequestContext;
}

const FIELD_MANAGER = 'validatingadmissionpolicy-status-controller';
const RETRY: BackoffPolicy = { initialMs: 20, maximumMs: 5_000, factor: 2, jitter: 0.2 };

/** Follows the policies until `signal` aborts. */
export function keepPolicyStatus(options: PolicyStatusOptions, signal: AbortSignal): void {
  const row = options.tables.resource('admissionregistration.k8s.io', 'v1', 'validatingadmissionpolicies');
  if (row) new PolicyStatus(options, row, signal).follow();
}

class PolicyStatus {
  readonly #options: PolicyStatusOptions;
  readonly #row: Resource;
  readonly #signal: AbortSignal;
  /** Policies that are to be looked at: no more than there are. */
  readonly #due = new Set<string>();
  #working = false;

  constructor(options: PolicyStatusOptions, row: Resource, signal: AbortSignal) {
    this.#options = options;
    this.#row = row;
    this.#signal = signal;
  }

  follow(): void {
    if (this.#signal.aborted) return;
    const cache = this.#options.caches.for(this.#row);
    const after = cache.revision;
    for (const { name } of cache.list({}).items) this.#take(name);
    cache.watch({
      filter: {},
      after,
      deliver: (batch) => {
        for (const one of batch) if (one.type === 'ADDED' || one.type === 'MODIFIED') this.#take(one.object.name);
      },
      end: () => this.follow(),
      signal: this.#signal,
    });
  }

  #take(name: string): void {
    this.#due.add(name);
    if (!this.#working) void this.#work();
  }

  async #work(): Promise<void> {
    const { env } = this.#options;
    this.#working = true;
    let failures = 0;
    for (const name of this.#due) {
      this.#due.delete(name);
      if (this.#signal.aborted) break;
      try {
        await this.#reconcile(name);
        failures = 0;
      } catch (error) {
        if (this.#signal.aborted || isReason(error, 'NotFound')) continue;
        env.log.warn('the status of a policy could not be written', { policy: name, reason: String(error) });
        this.#due.add(name);
        await sleep(env.clock, backoffMs(RETRY, failures++, env.random), this.#signal).catch(() => undefined);
      }
    }
    this.#working = false;
  }

  async #reconcile(name: string): Promise<void> {
    const { api, caches, context, tables } = this.#options;
    const policy = caches.for(this.#row).get(undefined, name)?.object as ValidatingAdmissionPolicy | undefined;
    const generation = policy?.metadata.generation ?? 0;
    if (!policy || generation <= (policy.status?.observedGeneration ?? 0)) return;
    const warnings = expressionWarnings(tables, policy);
    const typeChecking = warnings.length > 0 ? { expressionWarnings: warnings } : {};
    const body = {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name },
      status: { observedGeneration: generation, typeChecking },
    };
    const target = { resource: this.#row, name, subresource: 'status' };
    const patch = { type: 'application/apply-patch+yaml', body, force: true } as const;
    await api.patch(context(this.#signal), target, patch, { fieldManager: FIELD_MANAGER });
  }
}
