// JSON Patch (RFC 6902), with the limits and the messages of the API server's implementation.
import { cloneJson, sameJson, setMember, stringifyJson } from '../../api/json.ts';
import { badRequest, StatusError } from '../status.ts';

export const MAX_OPERATIONS = 10_000;
/** What all copies of one patch may add to the document, in bytes of JSON. */
export const MAX_COPIED_BYTES = 3 * 1024 * 1024;

/** Elements of arrays that all insertions and removals of one patch may move. */
export const MAX_MOVED_ELEMENTS = 50_000_000;

type Members = { [key: string]: unknown };
type Container = Members | unknown[];

const MISSING = 'missing value';
const BAD_INDEX = 'invalid index referenced';

/** A failure of one operation: upstream's text. */
class OperationError extends Error {
  override name = 'OperationError';
}

/**
 * The document with the patch applied; neither is changed, and the result shares what the patch does not touch.
 * Throws a Status: BadRequest for what is no patch, Invalid (422) when an operation cannot be applied or a test fails.
 */
export function applyJsonPatch<T extends object>(document: T, patch: unknown): T {
  if (!Array.isArray(patch)) {
    const kind = typeof patch === 'object' && patch !== null ? 'object' : typeof patch;
    throw badRequest(`json: cannot unmarshal ${kind} into Go value of type jsonpatch.Patch`);
  }
  if (patch.length > MAX_OPERATIONS) {
    const why = `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`;
    throw new StatusError('RequestEntityTooLarge', `Request entity too large: ${why}`);
  }
  const target = new Target(document);
  for (const operation of patch as unknown[]) {
    if (typeof operation !== 'object' || operation === null || Array.isArray(operation)) {
      throw badRequest('json: cannot unmarshal a value that is no object into Go value of type jsonpatch.Operation');
    }
    try {
      target.apply(operation as Members);
    } catch (error) {
      if (error instanceof OperationError) throw unprocessable(error.message, error);
      throw error;
    }
  }
  return target.root as T;
}

/** 422 with upstream's message; what went wrong is its cause. */
export function unprocessable(why: string, cause?: unknown): StatusError {
  const message = 'the server rejected our request due to an error in our request';
  return new StatusError('Invalid', message, {}, { cause: cause ?? new Error(why) });
}

/** A place in the document: a member of a container that may be changed. */
interface Place {
  readonly container: Container;
  readonly key: string;
}

class Target {
  root: object;
  /** Containers made by this patch: they may be changed. All others are shared with the document. */
  readonly #own = new Set<object>();
  #copiedBytes = 0;
  #movedElements = 0;

  constructor(document: object) {
    this.root = document;
  }

  apply(operation: Members): void {
    const kind = operation.op;
    const path = pathOf(operation, 'path', kind);
    if (kind === 'add') this.#add(this.#find(path, quoted('add')), path, givenValue(operation), 'add');
    else if (kind === 'remove') this.#remove(this.#find(path, quoted('remove')), path, 'remove');
    else if (kind === 'replace') this.#replace(path, givenValue(operation));
    else if (kind === 'move') this.#move(pathOf(operation, 'from', kind), path);
    else if (kind === 'copy') this.#copy(pathOf(operation, 'from', kind), path);
    else if (kind === 'test') this.#test(path, operation.value);
    else throw new OperationError(`Unexpected kind: ${typeof kind === 'string' ? kind : 'unknown'}`);
  }

  /** The container of the path's last token. Containers on the way become this patch's own. */
  #find(path: string, missing: (path: string) => string): Place {
    const tokens = path.split('/');
    if (tokens.length < 2) throw new OperationError(`${missing(path)}: ${MISSING}`);
    this.root = this.#owned(this.root);
    let container = this.root as Container;
    for (const token of tokens.slice(1, -1)) {
      const key = unescapeToken(token);
      const next = memberOf(container, key);
      if (typeof next !== 'object' || next === null) throw new OperationError(`${missing(path)}: ${MISSING}`);
      const own = this.#owned(next);
      if (own !== next) setIn(container, key, own);
      container = own as Container;
    }
    return { container, key: unescapeToken(tokens.at(-1)!) };
  }

  #owned(value: object): object {
    if (this.#own.has(value)) return value;
    let copy: Container;
    if (Array.isArray(value)) copy = [...value];
    else {
      copy = {};
      for (const key of Object.keys(value)) setMember(copy, key, (value as Members)[key]);
    }
    this.#own.add(copy);
    return copy;
  }

  #add({ container, key }: Place, path: string, value: unknown, verb: string): void {
    if (!Array.isArray(container)) {
      setMember(container, key, value);
      return;
    }
    if (key === '-') {
      container.push(value);
      return;
    }
    const at = arrayIndex(key, container.length + 1, (why) => `error in ${verb} for path: '${path}': ${why}`, true);
    this.#moves(container.length - at);
    container.splice(at, 0, value);
  }

  #remove({ container, key }: Place, path: string, verb: string): void {
    const failed = (why: string): string => `error in ${verb} for path: '${path}': ${why}`;
    if (Array.isArray(container)) {
      const at = arrayIndex(key, container.length, failed);
      this.#moves(container.length - at);
      container.splice(at, 1);
    } else if (Object.hasOwn(container, key)) {
      delete container[key];
    } else {
      throw new OperationError(failed(`Unable to remove nonexistent key: ${key}: ${MISSING}`));
    }
  }

  #moves(elements: number): void {
    this.#movedElements += elements;
    if (this.#movedElements <= MAX_MOVED_ELEMENTS) return;
    const why = `the operations of the JSON patch move more than ${MAX_MOVED_ELEMENTS} array elements`;
    throw new StatusError('RequestEntityTooLarge', `Request entity too large: ${why}`);
  }

  #replace(path: string, value: unknown): void {
    const { container, key } = this.#find(path, plain('replace operation does not apply: doc is missing path:'));
    if (memberOf(container, key) === undefined) {
      throw new OperationError(`replace operation does not apply: doc is missing key: ${path}: ${MISSING}`);
    }
    setIn(container, key, value);
  }

  #move(from: string, path: string): void {
    const source = this.#find(from, plain('move operation does not apply: doc is missing from path:'));
    const value = memberOf(source.container, source.key);
    if (value === undefined) throw new OperationError(`error in move for path: '${source.key}': ${MISSING}`);
    this.#remove(source, source.key, 'move');
    const destination = this.#find(path, plain('move operation does not apply: doc is missing destination path:'));
    this.#add(destination, path, value, 'move');
  }

  #copy(from: string, path: string): void {
    const source = this.#find(from, plain('copy operation does not apply: doc is missing from path:'));
    const value = memberOf(source.container, source.key);
    if (value === undefined) throw new OperationError(`error in copy for from: '${from}': ${MISSING}`);
    const destination = this.#find(path, plain('copy operation does not apply: doc is missing destination path:'));
    this.#copiedBytes += Buffer.byteLength(stringifyJson(value));
    if (this.#copiedBytes > MAX_COPIED_BYTES) {
      const size = `the accumulated size increase of copy is ${this.#copiedBytes}, exceeding the limit ${MAX_COPIED_BYTES}`;
      throw new OperationError(`Unable to complete the copy, ${size}`);
    }
    this.#add(destination, path, cloneJson(value), 'copy');
  }

  #test(path: string, expected: unknown): void {
    const { container, key } = this.#find(path, plain('test operation does not apply: is missing path:'));
    const value = memberOf(container, key) ?? null;
    if (!sameJson(value, expected ?? null)) throw new OperationError(`testing value ${path} failed: test failed`);
  }
}

/** How a missing place is reported; upstream quotes the path only for add and remove. */
const quoted = (verb: string) => (path: string) => `${verb} operation does not apply: doc is missing path: "${path}"`;
const plain = (text: string) => (path: string) => `${text} ${path}`;

function pathOf(operation: Members, name: 'path' | 'from', kind: unknown): string {
  const path = operation[name];
  if (typeof path === 'string') return path;
  throw new OperationError(`${kind} operation failed to decode ${name}: operation, missing ${name} field: ${MISSING}`);
}

/** The operation's value, not shared with the patch, which may be applied again. */
function givenValue(operation: Members): unknown {
  return cloneJson(operation.value ?? null);
}

function unescapeToken(token: string): string {
  return token.includes('~') ? token.replaceAll('~1', '/').replaceAll('~0', '~') : token;
}

const INDEX = /^[+-]?\d{1,15}$/;

function memberOf(container: Container, key: string): unknown {
  if (!Array.isArray(container)) return Object.hasOwn(container, key) ? container[key] : undefined;
  if (!INDEX.test(key)) return undefined;
  return container.at(Number(key));
}

function setIn(container: Container, key: string, value: unknown): void {
  if (!Array.isArray(container)) setMember(container, key, value);
  else container[Number(key) < 0 ? container.length + Number(key) : Number(key)] = value;
}

/** An index below `length`; a negative one counts from the end. */
function arrayIndex(key: string, length: number, failed: (why: string) => string, adding = false): number {
  if (!INDEX.test(key)) {
    const why = `strconv.Atoi: parsing ${JSON.stringify(key)}: invalid syntax`;
    throw new OperationError(failed(adding ? `value was not a proper array index: '${key}': ${why}` : why));
  }
  const index = Number(key);
  if (index >= length || index < -length) {
    throw new OperationError(failed(`Unable to access invalid index: ${index}: ${BAD_INDEX}`));
  }
  return index < 0 ? index + length : index;
}
