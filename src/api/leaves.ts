// Leaf values: what Go's JSON decoding accepts for each type, brought to the form in which they are written.
import { canonicalQuantity, formatQuantity, parseQuantity, QuantityError, roundUp } from '../machinery/quantity.ts';
import { canonicalMicroTime, canonicalTime, durationNs, formatDuration } from '../machinery/time.ts';
import { checkDepth } from './json.ts';
import type { Shape } from './plan.ts';

/** A value of the wrong JSON type; the walker adds where it was found. */
export class TypeMismatch extends Error {
  override name = 'TypeMismatch';
  /** What was found, as Go says it: "string", "number 1.5", "object". */
  readonly found: string;

  constructor(found: string) {
    super(`unexpected ${found}`);
    this.found = found;
  }
}

/** A value of the right JSON type with content that the type does not take. The message is upstream's, without a place. */
export class LeafError extends Error {
  override name = 'LeafError';
}

/** The JSON type of a value as Go's messages name it; numbers with their text where the type is numeric. */
export function jsonKind(value: unknown, withNumber = false): string {
  switch (typeof value) {
    case 'string':
      return 'string';
    case 'boolean':
      return 'bool';
    case 'number':
    case 'bigint':
      return withNumber ? `number ${value}` : 'number';
    default:
      return Array.isArray(value) ? 'array' : 'object';
  }
}

const INT32_LIMIT = 2 ** 31;
const INT64_LIMIT = 2n ** 63n;

/** The value in canonical form. Throws TypeMismatch or LeafError. */
export function canonicalLeaf(shape: Shape, value: unknown): unknown {
  switch (shape) {
    case 'string':
      if (typeof value === 'string') return value;
      break;
    case 'bool':
      if (typeof value === 'boolean') return value;
      break;
    case 'int32':
      if (typeof value === 'number' && Number.isInteger(value) && value >= -INT32_LIMIT && value < INT32_LIMIT)
        return value;
      throw new TypeMismatch(jsonKind(value, true));
    case 'int64':
      if (Number.isSafeInteger(value)) return value;
      if (typeof value === 'bigint' && value >= -INT64_LIMIT && value < INT64_LIMIT) return value;
      throw new TypeMismatch(jsonKind(value, true));
    case 'double':
      if (typeof value === 'number' && Number.isFinite(value)) return value;
      if (typeof value === 'bigint') return Number(value);
      if (typeof value === 'number') throw new TypeMismatch(jsonKind(value, true));
      break;
    case 'bytes':
      if (typeof value === 'string') return checkedBase64(value);
      break;
    case 'fieldsv1':
      if (jsonKind(value) === 'object') return shallowEnough(value);
      break;
    case 'rawext':
    case 'json':
    case 'any':
      return shallowEnough(value);
    default:
      return canonicalText(shape, value);
  }
  throw new TypeMismatch(jsonKind(value));
}

/** What has no type of its own may be anything that can be walked. */
function shallowEnough(value: unknown): unknown {
  try {
    checkDepth(value);
  } catch (error) {
    throw new LeafError(`json: ${(error as Error).message}`, { cause: error });
  }
  return value;
}

/** Leaves that decode themselves in Go: their errors name no field. */
function canonicalText(shape: Shape, value: unknown): unknown {
  switch (shape) {
    case 'quantity':
      return canonicalQuantityValue(value);
    case 'intorstring':
      if (typeof value === 'string') return value;
      if (typeof value === 'number' && Number.isInteger(value) && value >= -INT32_LIMIT && value < INT32_LIMIT)
        return value;
      throw new LeafError(`json: cannot unmarshal ${jsonKind(value, true)} into Go value of type int32`);
    case 'time':
      return wrapped(() => (isCanonicalTime(value) ? value : canonicalTime(text(value))));
    case 'microtime':
      return wrapped(() => canonicalMicroTime(text(value)));
    case 'duration':
      return wrapped(() => formatDuration(durationNs(text(value))));
    default:
      throw new Error(`no leaf ${shape}`);
  }
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  throw new Error(`json: cannot unmarshal ${jsonKind(value)} into Go value of type string`);
}

function wrapped<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new LeafError((error as Error).message, { cause: error });
  }
}

const CANONICAL_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** The last time read, by far the likeliest next one: objects carry the same stamp in many places. */
let lastTime = '';

function isCanonicalTime(value: unknown): boolean {
  if (value === lastTime) return true;
  if (typeof value !== 'string' || !CANONICAL_TIME.test(value) || canonicalTime(value) !== value) return false;
  lastTime = value;
  return true;
}

function canonicalQuantityValue(value: unknown): string {
  const kind = jsonKind(value);
  try {
    // Upstream parses whatever stands there: true and [] get the message of a malformed quantity.
    return canonicalQuantity(kind === 'string' || kind === 'number' ? String(value).trim() : '!');
  } catch (error) {
    if (error instanceof QuantityError) throw new LeafError(error.message, { cause: error });
    throw error;
  }
}

/** A resource quantity of core/v1 has no digits below thousandths: it is rounded up. */
export function milliQuantity(canonical: string): string {
  const last = canonical.at(-1);
  const fine = last === 'n' || last === 'u' || canonical.includes('e-');
  return fine ? formatQuantity(roundUp(parseQuantity(canonical), -3)) : canonical;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Standard base64 with padding; line breaks inside are ignored. Throws LeafError with Go's message. */
function checkedBase64(value: string): string {
  const plain = value.includes('\n') || value.includes('\r') ? value.replace(/[\r\n]/g, '') : value;
  if (plain.length % 4 === 0 && BASE64.test(plain)) return plain;
  throw new LeafError(`illegal base64 data at input byte ${firstBadByte(plain)}`);
}

function firstBadByte(value: string): number {
  const bad = /[^A-Za-z0-9+/=]/.exec(value);
  if (bad) return bad.index;
  const padding = value.indexOf('=');
  if (padding < 0) return value.length;
  return padding % 4 < 2 ? padding : padding + (value[padding + 1] === '=' ? 2 : 1);
}

/** The value of a leaf that is present but was not given. */
export function zeroLeaf(shape: Shape): unknown {
  switch (shape) {
    case 'string':
    case 'bytes':
      return '';
    case 'bool':
      return false;
    case 'int32':
    case 'int64':
    case 'double':
    case 'intorstring':
      return 0;
    case 'quantity':
      return '0';
    case 'duration':
      return '0s';
    default:
      return null;
  }
}
