// What is known of one request for the audit (audit.k8s.io/v1 Event), and its events, one for each stage.
import type { TLSSocket } from 'node:tls';
import { stringifyJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import { inSlices } from '../../lib/turns.ts';
import type { Attributes, ListResult, UserInfo } from '../contract.ts';
import { asStatusError } from '../http/encode.ts';
import type { Exchange } from '../http/exchange.ts';
import type { RequestInfo } from '../http/request-info.ts';
import type { Response } from '../http/response.ts';
import type { AuditEvent } from './auditor.ts';
import type { Stage, Wanted } from './policy.ts';

export interface RecordOptions {
  readonly info: RequestInfo;
  readonly response: Response;
  readonly user: UserInfo | undefined;
  readonly as?: UserInfo | undefined;
  /** It was not taken: there is nothing to tell of it but the refusal. */
  readonly isUnauthenticated?: true;
  readonly wanted: Wanted;
  readonly now: () => number;
  readonly offer: (event: AuditEvent) => void;
  readonly decide: (attributes: Attributes) => { readonly allowed: boolean; readonly reason: string } | undefined;
}

/** Objects of a list that are written in one turn. */
const ITEMS_PER_SLICE = 30;
/** What an event takes besides bodies. */
const EVENT_WEIGHT = 2_000;
/** What an object of a list is taken to be: to ask each for its size would be long work. */
const ITEM_WEIGHT = 1_000;

type Text = () => string | Promise<string>;

/** An object, and its JSON. */
interface Answered {
  readonly object: KubeObject;
  readonly bytes: Buffer;
}

export class AuditRecord {
  readonly #options: RecordOptions;
  readonly #receivedMs: number;
  readonly #annotations = new Map<string, string>();
  #name: string;
  #uid: string | undefined;
  #requestObject: string | undefined;
  #responseObject: Text | undefined;
  /** What the response's object holds on to. */
  #responseWeight = 0;
  #over = false;
  #streams = false;

  constructor(options: RecordOptions) {
    this.#options = options;
    this.#receivedMs = options.now();
    this.#name = options.info.name;
    if (!options.isUnauthenticated) this.#tell('RequestReceived');
  }

  /** As upstream tells it: when the refusal begins to be answered, and by which means somebody tried to be known. */
  unauthenticated(code: number): void {
    this.#over = true;
    const { exchange } = this.#options.response;
    this.#tell('ResponseStarted', { metadata: {}, message: attempts(exchange), code });
  }

  /** The first value of a key counts. */
  annotate(key: string, value: string): void {
    if (!this.#annotations.has(key)) this.#annotations.set(key, value);
  }

  /** The object that was sent: written at once, since it is about to be changed. */
  request(object: KubeObject): void {
    this.#name ||= object.metadata?.name ?? '';
    this.#uid = object.metadata?.uid;
    if (this.#wants('Request')) this.#requestObject = stringifyJson(this.#shown(object));
  }

  /** A patch or options, as they were sent. */
  requestBody(body: unknown): void {
    if (this.#wants('Request') && body !== undefined) this.#requestObject = stringifyJson(body);
  }

  /** The object that is answered; nobody changes it. */
  answer(answered: Answered): void {
    if (!this.#wants('RequestResponse')) return;
    this.#responseWeight = answered.bytes.length;
    this.#responseObject = () => this.#textOf(answered);
  }

  answerList(head: object, { items }: ListResult): void {
    if (!this.#wants('RequestResponse')) return;
    this.#responseWeight = items.length * ITEM_WEIGHT;
    this.#responseObject = async () => {
      const texts: string[] = [];
      await inSlices(items, ITEMS_PER_SLICE, (item) => {
        texts.push(this.#textOf(item));
        return 1;
      });
      return `${stringifyJson(head).slice(0, -1)},"items":[${texts.join(',')}]}`;
    };
  }

  get streams(): boolean {
    return this.#streams;
  }

  /** It goes on when the request has been served: whoever ends it says so. */
  endsLater(): void {
    this.#streams = true;
  }

  /** A long answer has begun. */
  started(code: number): void {
    this.#tell('ResponseStarted', { metadata: {}, code });
  }

  /** The answer is over. An error that is no refusal is what upstream calls a panic. Only the first call counts. */
  complete(code: number, error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    if (error === undefined || (code > 0 && code < 400)) {
      this.#tell('ResponseComplete', { metadata: {}, code });
      return;
    }
    const refusal = asStatusError(error);
    const { metadata, status, message, reason } = refusal.status;
    const told = { metadata, status, message, reason, code: code || refusal.code };
    if (this.#wants('RequestResponse')) this.#responseObject = () => stringifyJson(refusal.status);
    this.#tell(refusal === error ? 'ResponseComplete' : 'Panic', told);
  }

  #wants(level: 'Request' | 'RequestResponse'): boolean {
    const has = this.#options.wanted.level;
    return has === 'RequestResponse' || has === level;
  }

  #shown(object: KubeObject): object {
    if (!this.#options.wanted.omitManagedFields || object.metadata?.managedFields === undefined) return object;
    const { managedFields: _, ...metadata } = object.metadata;
    return { ...object, metadata };
  }

  /** As it was answered, if nothing of it is to be left out. */
  #textOf(answered: Answered): string {
    if (!this.#options.wanted.omitManagedFields) return answered.bytes.toString();
    return stringifyJson(this.#shown(answered.object));
  }

  #tell(stage: Stage, responseStatus?: object): void {
    const { wanted, now, offer } = this.#options;
    if (wanted.omitStages.has(stage)) return;
    const received = stage === 'RequestReceived';
    if (!received) this.#annotateDecision();
    const head = {
      ...this.#head(stage),
      ...(responseStatus && { responseStatus }),
    };
    const tail = {
      requestReceivedTimestamp: microTime(this.#receivedMs),
      stageTimestamp: microTime(now()),
      ...(this.#annotations.size > 0 && { annotations: Object.fromEntries(this.#annotations) }),
    };
    const requestObject = received ? undefined : this.#requestObject;
    const responseObject = received || stage === 'ResponseStarted' ? undefined : this.#responseObject;
    offer({
      weight: EVENT_WEIGHT + (requestObject?.length ?? 0) + (responseObject ? this.#responseWeight : 0),
      text: () => {
        const made = responseObject?.();
        if (made instanceof Promise) return made.then((text) => joined(head, tail, requestObject, text));
        return joined(head, tail, requestObject, made);
      },
    });
  }

  #head(stage: Stage): object {
    const { info, response, user, as, wanted } = this.#options;
    const { exchange } = response;
    const requestURI = exchange.rawQuery === '' ? exchange.path : `${exchange.path}?${exchange.rawQuery}`;
    const userAgent = exchange.header('user-agent');
    return {
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: wanted.level,
      auditID: response.auditId,
      stage,
      requestURI,
      verb: info.verb,
      user: user ? userOf(user) : {},
      ...(as && { impersonatedUser: userOf(as) }),
      sourceIPs: sourceIPs(exchange),
      ...(userAgent !== undefined && { userAgent }),
      ...(info.isResource && { objectRef: this.#reference(info) }),
    };
  }

  #reference({ resource, namespace, group, version, subresource }: RequestInfo): object {
    return {
      resource,
      ...(namespace !== '' && { namespace }),
      ...(this.#name !== '' && { name: this.#name }),
      ...(this.#uid && { uid: this.#uid }),
      ...(group !== '' && { apiGroup: group }),
      apiVersion: version,
      ...(subresource !== '' && { subresource }),
    };
  }

  #annotateDecision(): void {
    const key = 'authorization.k8s.io/decision';
    if (this.#annotations.has(key)) return;
    const { info, decide } = this.#options;
    const { verb, group, version, resource, subresource, namespace, name, path } = info;
    const decision = decide(
      info.isResource ? { verb, group, version, resource, subresource, namespace, name } : { verb, path },
    );
    if (!decision) return;
    this.annotate(key, decision.allowed ? 'allow' : 'forbid');
    this.annotate('authorization.k8s.io/reason', decision.reason);
  }
}

function attempts(exchange: Exchange): string {
  const [scheme = '', ...more] = (exchange.header('authorization') ?? '').trim().split(' ');
  const tried = ['basic', 'bearer'].filter((one) => more.length > 0 && scheme.toLowerCase() === one);
  const { getPeerCertificate } = exchange.socket as Partial<TLSSocket>;
  const certificate = getPeerCertificate?.call(exchange.socket as TLSSocket);
  if (certificate && Object.keys(certificate).length > 0) tried.push('x509');
  return `Authentication failed, ${tried.length > 0 ? `attempted: ${tried.join(', ')}` : 'no credentials provided'}`;
}

function joined(
  head: object,
  tail: object,
  requestObject: string | undefined,
  responseObject: string | undefined,
): string {
  const objects = `${requestObject === undefined ? '' : `,"requestObject":${requestObject}`}${
    responseObject === undefined ? '' : `,"responseObject":${responseObject}`
  }`;
  return `${JSON.stringify(head).slice(0, -1)}${objects},${JSON.stringify(tail).slice(1)}`;
}

function userOf({ username, uid, groups, extra }: UserInfo): object {
  return { username, ...(uid && { uid }), ...(groups.length > 0 && { groups }), ...(extra && { extra }) };
}

/** The nearest last, as the request's proxies tell. */
function sourceIPs(exchange: Exchange): string[] {
  const told = (exchange.header('x-forwarded-for') ?? '').split(',').map((one) => one.trim());
  const own = exchange.socket.remoteAddress?.replace(/^::ffff:/, '') ?? '';
  return [...new Set([...told, own])].filter((one) => one !== '');
}

function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
