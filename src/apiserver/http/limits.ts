import { StatusError } from '../../machinery/status.ts';
import { PRIVILEGED_GROUP } from '../auth/rbac.ts';
import type { UserInfo } from '../contract.ts';
import type { ApiServerMetrics, InFlightKind } from '../metrics.ts';
import type { RequestInfo } from './request-info.ts';

/** Upstream's defaults: --max-requests-inflight and --max-mutating-requests-inflight. */
export const MAX_READ_ONLY_IN_FLIGHT = 400;
export const MAX_MUTATING_IN_FLIGHT = 200;
const RETRY_AFTER_SECONDS = 1;

export interface InFlightLimits {
  readonly readOnly: number;
  readonly mutating: number;
}

const READ_ONLY_VERBS = ['get', 'list', 'watch'];

/**
 * Counts requests under way and turns away what is too much (429). Exempt: system:masters, so that an administrator always
 * gets in, and leases, so that leaders and nodes do not seem dead because somebody else is busy.
 */
export class InFlight {
  readonly #limits: InFlightLimits;
  readonly #metrics: ApiServerMetrics;
  readonly #now = { readOnly: 0, mutating: 0 };

  constructor(limits: InFlightLimits, metrics: ApiServerMetrics) {
    this.#limits = limits;
    this.#metrics = metrics;
  }

  /** Enters a request; the answer is to be left when it is done. Throws TooManyRequests. */
  enter(info: RequestInfo, user: UserInfo): InFlightKind {
    const kind: InFlightKind = READ_ONLY_VERBS.includes(info.verb) ? 'readOnly' : 'mutating';
    const exempt = user.groups.includes(PRIVILEGED_GROUP) || info.resource === 'leases';
    if (!exempt && this.#now[kind] >= this.#limits[kind]) {
      this.#metrics.rejected(kind);
      throw new StatusError('TooManyRequests', 'Too many requests, please try again later.', {
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      });
    }
    this.#now[kind]++;
    this.#metrics.inFlight[kind].value++;
    return kind;
  }

  leave(kind: InFlightKind): void {
    this.#now[kind]--;
    this.#metrics.inFlight[kind].value--;
  }
}
