import type { StatusError } from '../../machinery/status.ts';
import type { UserInfo } from '../contract.ts';
import type { FlowControl, Passage, Waiter } from '../flow-control/flow-control.ts';
import type { ApiServerMetrics, InFlightKind } from '../metrics.ts';
import type { RequestInfo } from './request-info.ts';

/**
 * Upstream's defaults: --max-requests-inflight and --max-mutating-requests-inflight. Their sum is what priority levels share;
 * the two kinds are counted apart.
 */
export const MAX_READ_ONLY_IN_FLIGHT = 400;
export const MAX_MUTATING_IN_FLIGHT = 200;

export interface InFlightLimits {
  readonly readOnly: number;
  readonly mutating: number;
}

const READ_ONLY_VERBS = ['get', 'list', 'watch'];

/** Counts the requests that flow control lets in, by kind. */
export class InFlight {
  readonly #flowControl: FlowControl;
  readonly #metrics: ApiServerMetrics;
  #underWay = 0;
  #whenIdle: (() => void)[] = [];

  constructor(flowControl: FlowControl, metrics: ApiServerMetrics) {
    this.#flowControl = flowControl;
    this.#metrics = metrics;
  }

  /** Enters a request, when its turn has come. Throws, or rejects with, TooManyRequests. */
  enter(info: RequestInfo, user: UserInfo, seats: number, waiter: Waiter): Passage | Promise<Passage> {
    const kind: InFlightKind = READ_ONLY_VERBS.includes(info.verb) ? 'readOnly' : 'mutating';
    const rejected = (error: unknown): never => {
      if ((error as StatusError).reason === 'TooManyRequests') this.#metrics.rejected(kind);
      throw error;
    };
    try {
      const entering = this.#flowControl.enter(info, user, seats, waiter);
      if (!(entering instanceof Promise)) return this.#counted(kind, entering);
      return entering.then((passage) => this.#counted(kind, passage), rejected);
    } catch (error) {
      return rejected(error);
    }
  }

  #counted(kind: InFlightKind, passage: Passage): Passage {
    this.#metrics.inFlight[kind].value++;
    this.#underWay++;
    const leave = (): void => {
      this.#metrics.inFlight[kind].value--;
      passage.leave();
      if (--this.#underWay > 0) return;
      for (const idle of this.#whenIdle.splice(0)) idle();
    };
    return { schemaUid: passage.schemaUid, levelUid: passage.levelUid, leave };
  }

  /** Resolves as soon as no request is under way. */
  idle(): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }
}
