// What every response carries, and how refusals are answered.

import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { StatusError } from '../../machinery/status.ts';
import type { AuditRecord } from '../audit/record.ts';
import { asStatusError, encodeValue } from './encode.ts';
import type { Exchange, ResponseHeaders } from './exchange.ts';
import type { ListBody, StoredList } from './list-bodies.ts';
import { type Accepted, negotiate, PLAIN_JSON, PLAIN_OFFER } from './media.ts';

/** Bodies above this are compressed for clients that take it, as upstream. */
export const GZIP_THRESHOLD_BYTES = 128 * 1024;
/** Characters that all warnings of an answer may have; upstream's limits, as clients limit headers. */
const WARNINGS_LIMIT = 4096;
/** When they have more, each is cut to so many, and what is then too much is left out. */
const CUT_WARNING = 256;

const compress = promisify(gzip);

/** An exchange with the headers gathered for its answer. */
export class Response {
  readonly exchange: Exchange;
  readonly auditId: string;
  readonly #warnings: string[] = [];
  /** The code sent, once it has been. */
  code = 0;
  /** What is told of the request; absent: nothing is. */
  audit: AuditRecord | undefined;
  /** It is known who asks. */
  isAuthenticated = false;
  /** It may take as long as its client likes. */
  isLongRunning = false;
  /** The FlowSchema and PriorityLevelConfiguration that the request fell under. */
  flow: { readonly schemaUid: string; readonly levelUid: string } | undefined;

  constructor(exchange: Exchange, auditId: string) {
    this.exchange = exchange;
    this.auditId = auditId;
  }

  /** An answer that goes on has begun with this code. */
  begin(code: number): void {
    this.code = code;
    if (this.isLongRunning) this.audit?.started(code);
  }

  warn(text: string): void {
    this.#warnings.push(text.slice(0, WARNINGS_LIMIT + 1));
    if (this.#warnings.length <= WARNINGS_LIMIT) return;
    this.#warnings.length = WARNINGS_LIMIT;
  }

  headers(contentType: string): ResponseHeaders {
    return {
      'audit-id': this.auditId,
      'cache-control': 'no-cache, private',
      'content-type': contentType,
      ...(this.flow?.schemaUid && {
        'x-kubernetes-pf-flowschema-uid': this.flow.schemaUid,
        'x-kubernetes-pf-prioritylevel-uid': this.flow.levelUid,
      }),
      ...(this.#warnings.length > 0 && { warning: warningHeaders(this.#warnings) }),
    };
  }

  send(code: number, contentType: string, body: Buffer | string, further: ResponseHeaders = {}): void {
    this.code = code;
    this.exchange.respond(code, { ...this.headers(contentType), ...further }, body);
  }

  /** Sends a body that may be big, compressed if that is worth it; what compressing made is kept with the body. */
  async sendBig(
    code: number,
    contentType: string,
    body: ListBody | StoredList,
    further: ResponseHeaders = {},
  ): Promise<void> {
    const { length } = 'plain' in body ? body.plain : body;
    const worth = length > GZIP_THRESHOLD_BYTES && /\bgzip\b/.test(this.exchange.header('accept-encoding') ?? '');
    if (worth) {
      const vary = further.vary === undefined ? 'Accept-Encoding' : `${String(further.vary)}, Accept-Encoding`;
      this.send(code, contentType, await zippedOf(body), { ...further, 'content-encoding': 'gzip', vary });
    } else if ('plain' in body) {
      this.send(code, contentType, body.plain, further);
    } else {
      this.code = code;
      this.exchange.respondAssembled(code, { ...this.headers(contentType), ...further }, body);
    }
  }

  async sendValue(code: number, value: unknown, accepted: Accepted = PLAIN_JSON): Promise<void> {
    this.send(code, accepted.contentType, await encodeValue(value, accepted));
  }

  async sendError(error: unknown): Promise<void> {
    if (this.exchange.responded) return;
    const refusal = asStatusError(error);
    const accepted = acceptedFor(this.exchange);
    this.send(refusal.code, accepted.contentType, await encodeValue(refusal.status, accepted), retryAfter(refusal));
  }
}

async function zippedOf(body: ListBody | StoredList): Promise<Buffer> {
  if (!('plain' in body)) return body.zipped();
  body.zipped ??= await compress(body.plain, { level: constants.Z_BEST_SPEED });
  return body.zipped;
}

function warningHeaders(texts: readonly string[]): string[] {
  const total = (list: readonly string[]): number => list.reduce((sum, text) => sum + text.length, 0);
  const cut = total(texts) > WARNINGS_LIMIT ? texts.map((text) => text.slice(0, CUT_WARNING)) : texts;
  let characters = 0;
  const kept = cut.filter((text) => {
    characters += text.length;
    return characters <= WARNINGS_LIMIT;
  });
  return kept.map((text) => `299 - "${headerText(text).replace(/[\\"]/g, '\\$&')}"`);
}

function retryAfter(refusal: StatusError): ResponseHeaders {
  const seconds = refusal.details?.retryAfterSeconds;
  return seconds === undefined || seconds === 0 ? {} : { 'retry-after': seconds };
}

/** Header values are Latin-1; other characters are left out rather than the whole answer. */
function headerText(text: string): string {
  return text.replace(/[^\t\x20-\x7e]/g, '?');
}

/** A client that asks for what we do not have still gets its refusal, in JSON. */
function acceptedFor(exchange: Exchange): Accepted {
  try {
    const { encoding, contentType } = negotiate(exchange.header('accept'), PLAIN_OFFER);
    return { encoding, contentType };
  } catch {
    return PLAIN_JSON;
  }
}
