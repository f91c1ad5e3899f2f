// What operators and functions cost, by what they are given: cel-go's runtime costs with those of Kubernetes' own library.
// Where ours does more than upstream's (lists are copied, values are compared to their depth, a pattern's repetitions are
// written out) it costs what it does.
import { patternOf } from '../validate-value.ts';
import { PER_CALL_LIMIT } from './budget.ts';

/** Of going through one character. */
const CHARACTER = 0.1;
/** Of one character of a pattern, for each character that it is matched against. */
const PATTERN_CHARACTER = 0.25;
/** Of copying one item. */
const COPY = 0.1;
/** Of coming to one key of a map when all are listed; of a big one, which is kept in another way. */
const KEY = 0.5;
const BIG_MAP = 2_000;
const KEY_OF_BIG_MAP = 3;
/** Only two of them are to fit into one expression: upstream's share of its limit. */
const AUTHORIZATION = 70_000;
/** Of a time in another zone, which is worked out by writing it and reading it again. */
const TIME_ZONE = 1_000;
/** Of making a value of a text, besides going through it: a network's addresses are made comparable. */
const NETWORK = 80;
const URL_PARTS = 40;
const DURATION = 30;
const PARSED = 20;
/** Of beginning to match, and of each place that is found. */
const MATCH = 30;
export const FOUND = 50;
/** Of an error: it tells where it happened. */
export const ERROR = 200;

/** Of comparing what is in values, for what going through it costs. */
const COMPARISON = 2;
const MAP_COMPARISON = 10;

export const LIST_COST = 10;
export const MAP_COST = 30;

type Arguments = readonly unknown[];
type Cost = (args: Arguments) => number;

/** Maps do not change while expressions run. */
const mapSizes = new WeakMap<object, number>();

/** Upstream's size of a value: characters, bytes, items, members; 1 of everything else. */
export function sizeOf(value: unknown): number {
  if (typeof value === 'string' || Array.isArray(value) || value instanceof Uint8Array) return value.length;
  return isMap(value) ? mapSize(value) : 1;
}

function isMap(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function mapSize(map: object): number {
  let size = mapSizes.get(map);
  if (size === undefined) {
    size = Object.keys(map).length;
    mapSizes.set(map, size);
  }
  return size;
}

/** Of going through characters or items once. */
const through = (value: unknown, times = 1): number => Math.ceil(sizeOf(value) * times * CHARACTER);

/** More than any expression may cost: a value is gone through no further. */
const TOO_MUCH = PER_CALL_LIMIT;

/** Of going through a value and all that is in it. */
function traversal(value: unknown): number {
  if (typeof value === 'string' || value instanceof Uint8Array) return value.length * CHARACTER;
  let cost = 0;
  if (Array.isArray(value)) {
    for (const item of value) {
      cost += traversal(item);
      if (cost > TOO_MUCH) break;
    }
    return cost;
  }
  if (!isMap(value)) return 1;
  const least = keysCost(value) + mapSize(value);
  if (least > TOO_MUCH) return least;
  for (const key of Object.keys(value)) {
    cost += 1 + key.length * CHARACTER + traversal((value as { readonly [key: string]: unknown })[key]);
    if (cost > TOO_MUCH) break;
  }
  return cost;
}

/** The library looks at all keys of a map to tell its type. */
export function typeCost(args: Arguments): number {
  let cost = 0;
  for (const one of args) if (typeof one === 'object') cost += keysCost(one);
  return cost;
}

/** Of listing the keys of a map, when a loop over it begins too; nothing of what is none. */
export function keysCost(value: unknown): number {
  if (!isMap(value)) return 0;
  const size = mapSize(value);
  return size * (size > BIG_MAP ? KEY_OF_BIG_MAP : KEY);
}

/** Going through a text and matching it, at the size that the pattern has when repetitions are written out. */
function matching([text, pattern]: Arguments): number {
  if (typeof text !== 'string' || typeof pattern !== 'string') return 1;
  const written = Math.ceil(pattern.length * PATTERN_CHARACTER);
  const compiled = patternOf(pattern)?.programSize() ?? 0;
  return MATCH + Math.ceil((1 + text.length) * CHARACTER) * Math.max(written, compiled);
}

const parsed =
  (cost: number): Cost =>
  ([text]) =>
    cost + through(text);
const nothing: Cost = () => 1;
const first: Cost = ([text]) => Math.max(1, through(text));
const twice: Cost = ([text]) => Math.max(1, through(text, 2));
const copied: Cost = (args) => 1 + args.reduce((total: number, one) => total + sizeOf(one) * COPY, 0);
const whole: Cost = ([value]) => Math.max(1, Math.ceil(traversal(value)));
const inZone: Cost = (args) => (args.length > 1 ? TIME_ZONE : 1);

function joined([list, separator = '']: Arguments): number {
  if (!Array.isArray(list)) return 1;
  let characters = list.length * sizeOf(separator);
  for (const one of list) characters += sizeOf(one);
  return Math.max(1, list.length * COPY, Math.ceil(characters * 2 * CHARACTER));
}

/** Each item of one list is looked for in the other. */
const pairs =
  (times: number): Cost =>
  ([, a, b]) =>
    1 + sizeOf(a) * sizeOf(b) * times + traversal(a) + traversal(b);

function sorting([list]: Arguments): number {
  const size = sizeOf(list);
  return 1 + traversal(list) + size * Math.ceil(Math.log2(size + 1));
}

function networkOf(args: Arguments): number {
  return NETWORK + args.reduce((total: number, one) => total + (typeof one === 'string' ? through(one) : 3), 0);
}

const FUNCTIONS: { readonly [name: string]: Cost } = {
  ...named('check', () => AUTHORIZATION),
  ...named('fieldSelector labelSelector', ([, text]) => LIST_COST + through(text) + sizeOf(text) * 0.5 * 50),
  ...named('isSorted sum max min indexOf lastIndexOf startsWith endsWith', whole),
  ...named('lowerAscii upperAscii substring trim escapeKey quote bytes hex base64', first),
  ...named('json', whole),
  ...named('reverse', ([value]) => 1 + through(value, 5)),
  ...named('charAt', ([, at]) => 1 + Math.max(0, Number(at)) * 0.5),
  ...named('url isURL', parsed(URL_PARTS)),
  ...named('duration', parsed(DURATION)),
  ...named('isIP ip quantity isQuantity semver isSemver timestamp', parsed(PARSED)),
  ...named('size', ([value]) => (typeof value === 'string' ? 1 + through(value, 2) : 1)),
  ...named('cidr isCIDR containsCIDR containsIP', networkOf),
  ...named('split replace', twice),
  ...named('join', joined),
  ...named('find findAll matches matchesInLinearTime', matching),
  ...named('contains', ([text, part]) => Math.max(1, through(text) * through(part))),
  ...named('format', ([text, args]) => 20 + through(text) + Math.ceil(traversal(args) * 3)),
  ...named('string', ([value]) => (typeof value === 'object' ? first([value]) : 4)),
  ...named('slice', copied),
  ...named('flatten', ([lists]) => copied(Array.isArray(lists) ? lists : [])),
  ...named('sort', sorting),
  // Its comparisons are counted as they are made.
  ...named('distinct', copied),
  ...named('getDate getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds', inZone),
  ...named('getMinutes getMonth getSeconds', inZone),
  ...named('greatest least', ([, ...all]) => all.reduce((total: number, one) => total + sizeOf(one), 3)),
};

function named(names: string, cost: Cost): { [name: string]: Cost } {
  return Object.fromEntries(names.split(' ').map((name) => [name, cost]));
}

/** Functions of `sets`, whose names are also those of others. */
const SETS: { readonly [name: string]: Cost } = { contains: pairs(1), intersects: pairs(1), equivalent: pairs(2) };

/** Of a call of a function; of a method, the receiver is the first of its arguments. */
export function callCost(name: string, args: Arguments): number {
  const own = Object.hasOwn(SETS, name) && Array.isArray(args[1]) ? SETS[name] : undefined;
  const cost = own ?? (Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name]! : nothing);
  return cost(args) + typeCost(args);
}

/** Of an operator with two operands. */
export function operatorCost(operator: string, a: unknown, b: unknown): number {
  // Most are of numbers and of short texts.
  if (typeof a !== 'object' && typeof b !== 'object') {
    if (typeof a !== 'string' || typeof b !== 'string') return 1;
    if (operator === '+') return Math.ceil((a.length + b.length) * CHARACTER);
    return Math.max(1, Math.ceil(Math.min(a.length, b.length) * CHARACTER));
  }
  const cost = typeCost([a, b]);
  if (operator === 'in')
    return cost + (Array.isArray(b) ? b.length * (typeof a === 'object' ? COMPARISON * traversal(a) : 1) : 1);
  if (operator === '+') return cost + copied([a, b]);
  if (operator !== '==' && operator !== '!=') return cost + Math.max(1, Math.min(through(a), through(b)));
  // Values of different kinds, and lists of different lengths, differ at once.
  const alike = a !== null && b !== null && typeof a === typeof b && sizeOf(a) === sizeOf(b);
  if (!alike) return cost + 1;
  const deep = Math.ceil(Math.min(traversal(a), traversal(b)) * COMPARISON);
  return cost + (isMap(a) ? MAP_COMPARISON + deep : Math.max(1, deep));
}
