// What functions cost at worst, and how large what they make may be, by what is known of their arguments: upstream's estimates.
import { MAX_REQUEST_BYTES } from './sizes.ts';

/** What is known of a value before there is one. */
export interface Known {
  /** Absent: that is not known. */
  readonly kind?: 'text' | 'list' | 'map' | 'scalar';
  /** Characters, items or members at most. */
  readonly size: number;
  /** Of its items, or of its members' values. */
  readonly element?: () => Known;
  readonly member?: (name: string) => Known;
}

interface Estimate {
  readonly cost: number;
  readonly known: Known;
}

/** What nothing is known of comes out of a request: upstream takes it for infinitely large. */
export const UNKNOWN: Known = { size: MAX_REQUEST_BYTES };

export const scalar = (size: number): Known => ({ kind: 'scalar', size });

/** One or the other. */
export function union(a: Known, b: Known): Known {
  const kind = a.kind ?? b.kind;
  const element = a.element ?? b.element;
  const both = a.element && b.element;
  return {
    ...(kind && { kind }),
    size: Math.max(a.size, b.size),
    ...(element && { element: both ? () => union(a.element!(), b.element!()) : element }),
    ...(a.member && { member: a.member }),
  };
}

/** Of going through characters, ten at a time. */
export const through = (size: number, times = 1): number => Math.ceil((size * times) / 10);

type Arguments = readonly Known[];
type Function = (args: Arguments) => Estimate;

const text = (size: number): Known => ({ kind: 'text', size });
const made = (cost: number, known: Known): Estimate => ({ cost, known });

const NOMINAL: Estimate = made(1, scalar(1));
/** Goes through its first argument, and tells something of it. */
const reads: Function = ([of = UNKNOWN]) => made(through(of.size), scalar(1));
/** Goes through its first argument, and makes something as large of it. */
const keeps: Function = ([of = UNKNOWN]) => made(through(of.size), text(of.size));

function goesThroughItems([list = UNKNOWN]: Arguments): Estimate {
  if (list.kind === 'text') return made(through(list.size), scalar(1));
  const item = list.element?.() ?? scalar(1);
  return made(list.size * (1 + (item.kind === 'text' ? through(item.size) : 0)), item);
}

const matchCost = (of: Known, pattern: Known): number => through(of.size + 1) * Math.ceil(pattern.size / 4);

function replaces([of = UNKNOWN, from = UNKNOWN, to = UNKNOWN]: Arguments): Estimate {
  const times = from.size === 0 ? of.size + 1 : Math.ceil(of.size / from.size);
  const size = Math.max(of.size, Math.min(times * to.size, MAX_REQUEST_BYTES));
  return made(through(of.size, 2), text(size));
}

function joins([list = UNKNOWN, separator]: Arguments): Estimate {
  const size = list.size * (list.element?.().size ?? MAX_REQUEST_BYTES);
  const all = size + (separator ? separator.size * Math.max(0, list.size - 1) : 0);
  return made(through(all), text(all));
}

const pairs =
  (times: number): Function =>
  ([a = UNKNOWN, b = UNKNOWN]) =>
    made(1 + a.size * b.size * times, scalar(1));

/** What goes through a list and answers one like it. */
const sameList: Function = ([list = UNKNOWN]) => made(1 + list.size, list);

const FUNCTIONS: { readonly [name: string]: Function } = {
  ...named('isSorted sum max min indexOf lastIndexOf', goesThroughItems),
  ...named('url isIP isCIDR quantity isQuantity semver isSemver cidr bytes duration timestamp', reads),
  ...named('lowerAscii upperAscii substring trim escapeKey jsonpatch.escapeKey quote reverse charAt', keeps),
  ...named('startsWith endsWith', ([, part = UNKNOWN]) => made(through(part.size), scalar(1))),
  ...named('matches', ([of = UNKNOWN, pattern = UNKNOWN]) => made(matchCost(of, pattern), scalar(1))),
  ...named('find', ([of = UNKNOWN, pattern = UNKNOWN]) => made(matchCost(of, pattern), text(of.size))),
  ...named('findAll', ([of = UNKNOWN, pattern = UNKNOWN]) => made(matchCost(of, pattern), textsOf(of.size))),
  ...named('contains', ([of = UNKNOWN, part = UNKNOWN]) => made(through(of.size) * through(part.size), scalar(1))),
  ...named('replace', replaces),
  ...named('split', ([of = UNKNOWN]) => made(through(of.size, 2), textsOf(of.size))),
  ...named('join', joins),
  ...named('format', ([of = UNKNOWN, args = UNKNOWN]) => {
    const size = of.size + args.size * (args.element?.().size ?? 20);
    return made(through(of.size), text(size));
  }),
  // Of a number or a bool; a text or bytes are as long as they were.
  ...named('string', ([of = UNKNOWN]) => (of.kind === 'scalar' ? made(1, text(20)) : keeps([of]))),
  ...named('dyn orValue or value optional.of optional.ofNonZeroValue', ([of = UNKNOWN, other]) => {
    return made(1, other ? union(of, other) : of);
  }),
  ...named('distinct', ([list = UNKNOWN]) => made(1 + list.size ** 2, list)),
  ...named('sort slice', sameList),
  ...named('flatten', ([lists = UNKNOWN]) => {
    const inner = lists.element?.() ?? UNKNOWN;
    return made(1 + lists.size * inner.size, { ...inner, size: lists.size * inner.size });
  }),
  ...named('sets.contains sets.intersects', pairs(1)),
  ...named('sets.equivalent', pairs(2)),
  ...named('check', () => made(350_000, scalar(1))),
};

function textsOf(size: number): Known {
  return { kind: 'list', size, element: () => text(size) };
}

function named(names: string, one: Function): { [name: string]: Function } {
  return Object.fromEntries(names.split(' ').map((name) => [name, one]));
}

/** Of a call, its receiver first among the arguments; what they cost themselves does not count. */
export function functionEstimate(name: string, args: Arguments): Estimate {
  return Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name]!(args) : NOMINAL;
}
