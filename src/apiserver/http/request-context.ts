import type { Guard } from '../../store/contract.ts';
import type { RequestContext, UserInfo } from '../contract.ts';
import type { Exchange } from './exchange.ts';
import { GUARDS_HEADER, parseGuards } from './guards.ts';
import type { Response } from './response.ts';

/** A request's context. Its signal is made when it is first asked for: most requests never wait for anything long. */
export class ExchangeContext implements RequestContext {
  readonly user: UserInfo;
  readonly warn: (text: string) => void;
  readonly userAgent?: string;
  readonly annotate?: (key: string, value: string) => void;
  readonly guards?: readonly Guard[];
  readonly #exchange: Exchange;
  #controller: AbortController | undefined;
  /** Why the request was given up, in a box; absent: it was not. */
  #given: { readonly up: unknown } | undefined;

  readonly #onAbort: ((reason: unknown) => void) | undefined;

  /** `onAbort`: told once that the request is given up, and why. Throws BadRequest. */
  constructor(response: Response, user: UserInfo, onAbort?: (reason: unknown) => void) {
    const { exchange } = response;
    this.user = user;
    this.#exchange = exchange;
    this.#onAbort = onAbort;
    this.warn = (text) => response.warn(text);
    const { audit } = response;
    if (audit) this.annotate = (key, value) => audit.annotate(key, value);
    const userAgent = exchange.header('user-agent');
    if (userAgent !== undefined) this.userAgent = userAgent;
    const guards = parseGuards(exchange.header(GUARDS_HEADER), user);
    if (guards) this.guards = guards;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController();
      if (this.#given) this.#controller.abort(this.#given.up);
      const { signal } = this.#exchange;
      const onGone = (): void => this.abort(signal.reason);
      if (signal.aborted) onGone();
      else signal.addEventListener('abort', onGone, { once: true });
    }
    return this.#controller.signal;
  }

  abort(reason: unknown): void {
    if (this.#given) return;
    this.#given = { up: reason };
    this.#controller?.abort(reason);
    this.#onAbort?.(reason);
  }
}
