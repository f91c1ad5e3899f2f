// More of the functions that expressions of Kubernetes may call: strings, sets, lists, math, quantities, networks, versions
// (cel-go's ext library and Kubernetes' own).
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import type { Environment } from '@marcbachmann/cel-js';
import { charge } from './meter.ts';
import { sameCelValue } from './same.ts';

type Add = (signature: string, handler: (...args: never[]) => unknown) => void;

function holds(list: readonly unknown[], one: unknown): boolean {
  return list.some((other) => sameCelValue(one, other));
}

export function registerExtensions(env: Environment): void {
  const add: Add = (signature, handler) => {
    env.registerFunction(signature, handler as (...args: unknown[]) => unknown);
  };
  registerStrings(add);
  registerLists(env, add);
  registerMath(env, add);
  registerNetworks(env, add);
  registerVersions(env, add);
}

function registerStrings(add: Add): void {
  const characters = (text: string): string[] => [...text];
  add('string.charAt(int): string', (text: string, at: bigint) => {
    let left = at;
    if (at >= 0n) for (const character of text) if (left-- === 0n) return character;
    if (left !== 0n) throw new Error(`index out of range: ${at}`);
    return '';
  });
  add('string.replace(string, string): string', (text: string, from: string, to: string) =>
    replaced(text, from, to, -1n),
  );
  add('string.replace(string, string, int): string', replaced);
  add('string.reverse(): string', (text: string) => characters(text).reverse().join(''));
  add('string.format(list): string', (text: string, args: unknown[]) => formatted(text, args));
}

function replaced(text: string, from: string, to: string, limit: bigint): string {
  const parts = text.split(from);
  // The text itself has been paid for.
  charge(Math.floor((parts.length * to.length) / 10));
  if (limit < 0n || BigInt(parts.length - 1) <= limit) return parts.join(to);
  const kept = Number(limit);
  return [...parts.slice(0, kept), parts.slice(kept).join(from)].join(to);
}

/** %s %d %f %e %x %X %o %b %%, with a precision for %f and %e. */
function formatted(text: string, args: readonly unknown[]): string {
  let next = 0;
  return text.replace(/%(?:\.(\d+))?([a-zA-Z%])/g, (_, precision: string | undefined, verb: string) => {
    if (verb === '%') return '%';
    if (next >= args.length) throw new Error(`index ${next} out of range`);
    return clause(verb, args[next++], precision === undefined ? 6 : Number(precision));
  });
}

const BASES: { readonly [verb: string]: number } = { x: 16, X: 16, o: 8, b: 2 };

function clause(verb: string, value: unknown, precision: number): string {
  if (verb === 's') return shown(value);
  const number = typeof value === 'bigint' || typeof value === 'number' ? value : Number.NaN;
  if (verb === 'd' && typeof value === 'bigint') return String(value);
  if (verb === 'f' && !Number.isNaN(number)) return Number(number).toFixed(precision);
  if (verb === 'e' && !Number.isNaN(number)) {
    return Number(number)
      .toExponential(precision)
      .replace(/e([+-])(\d)$/, 'e$10$2');
  }
  if (verb === 'x' && typeof value === 'string') return Buffer.from(value).toString('hex');
  const base = BASES[verb];
  if (base !== undefined && typeof value === 'bigint') {
    return verb === 'X' ? value.toString(base).toUpperCase() : value.toString(base);
  }
  throw new Error(`could not parse formatting clause: unrecognized formatting clause ${JSON.stringify(verb)}`);
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return `[${value.map(shown).join(', ')}]`;
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'object' && value !== null && value.constructor === Object) {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, one]) => `${key}: ${shown(one)}`).join(', ')}}`;
  }
  return String(value);
}

/** Of comparing two objects or lists, about. */
const OBJECT_COMPARISON = 10;

class Sets {}

type Comparable = string | number | bigint;

function registerLists(env: Environment, add: Add): void {
  env.registerType('SetsNamespace', { ctor: Sets as never, fields: {} });
  env.registerConstant('sets', 'SetsNamespace', new Sets());
  const covers = (a: unknown[], b: unknown[]): boolean => b.every((one) => holds(a, one));
  add('SetsNamespace.contains(list, list): bool', (_: Sets, a: unknown[], b: unknown[]) => covers(a, b));
  add(
    'SetsNamespace.equivalent(list, list): bool',
    (_: Sets, a: unknown[], b: unknown[]) => covers(a, b) && covers(b, a),
  );
  add('SetsNamespace.intersects(list, list): bool', (_: Sets, a: unknown[], b: unknown[]) =>
    b.some((one) => holds(a, one)),
  );
  add('list.distinct(): list<dyn>', (list: unknown[]) =>
    list.filter((one, i) => {
      charge(typeof one === 'object' ? i * OBJECT_COMPARISON : i);
      return list.findIndex((other) => sameCelValue(one, other)) === i;
    }),
  );
  add('list.slice(int, int): list<dyn>', (list: unknown[], from: bigint, to: bigint) => {
    if (from < 0n || to < from || to > BigInt(list.length)) throw new Error(`cannot slice(${from}, ${to})`);
    return list.slice(Number(from), Number(to));
  });
  add('list.flatten(): list<dyn>', (list: unknown[]) => list.flat(1));
  add('list.reverse(): list<dyn>', (list: unknown[]) => [...list].reverse());
  add('list.sort(): list<dyn>', (list: Comparable[]) => [...list].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)));
}

class MathNamespace {}

function registerMath(env: Environment, add: Add): void {
  env.registerType('MathNamespace', { ctor: MathNamespace as never, fields: {} });
  env.registerConstant('math', 'MathNamespace', new MathNamespace());
  const extreme =
    (sign: number) =>
    (all: Comparable[]): Comparable => {
      const [first, ...rest] = all;
      if (first === undefined) throw new Error('argument list must not be empty');
      return rest.reduce((best, one) => ((sign > 0 ? one > best : one < best) ? one : best), first);
    };
  for (const [name, sign] of [
    ['greatest', 1],
    ['least', -1],
  ] as const) {
    const pick = extreme(sign);
    add(`MathNamespace.${name}(list): dyn`, (_: unknown, list: Comparable[]) => pick(list));
    for (const type of ['int', 'double']) {
      add(`MathNamespace.${name}(${type}, ${type}): ${type}`, (_: unknown, ...all: Comparable[]) => pick(all));
      add(`MathNamespace.${name}(${type}, ${type}, ${type}): ${type}`, (_: unknown, ...all: Comparable[]) => pick(all));
    }
  }
  for (const name of ['ceil', 'floor', 'trunc'] as const) {
    add(`MathNamespace.${name}(double): double`, (_: unknown, value: number) => Math[name](value));
  }
  add(
    'MathNamespace.round(double): double',
    (_: unknown, value: number) => Math.sign(value) * Math.round(Math.abs(value)),
  );
  add('MathNamespace.abs(int): int', (_: unknown, value: bigint) => (value < 0n ? -value : value));
  add('MathNamespace.abs(double): double', (_: unknown, value: number) => Math.abs(value));
}

class Network {
  readonly address: string;
  readonly bits: number;
  readonly #list = new BlockList();
  constructor(text: string) {
    const [address = '', bits = ''] = text.split('/');
    const isAddress = isIPv4(address) || isIPv6(address);
    if (!isAddress || !/^\d{1,3}$/.test(bits) || Number(bits) > (isIPv4(address) ? 32 : 128)) {
      throw new Error(`network address parse error during conversion from string: ${text}`);
    }
    this.address = address;
    this.bits = Number(bits);
    this.#list.addSubnet(address, this.bits, isIPv4(address) ? 'ipv4' : 'ipv6');
  }
  covers(address: string): boolean {
    if (!isIPv4(address) && !isIPv6(address))
      throw new Error(`IP Address ${JSON.stringify(address)} parse error during conversion from string`);
    return isIPv4(address) === isIPv4(this.address) && this.#list.check(address, isIPv4(address) ? 'ipv4' : 'ipv6');
  }
}

function registerNetworks(env: Environment, add: Add): void {
  env.registerType('CIDR', { ctor: Network as never, fields: {} });
  const network = (text: string): Network => new Network(text);
  add('cidr(string): CIDR', network);
  add('isCIDR(string): bool', (text: string) => {
    try {
      return network(text).bits >= 0;
    } catch {
      return false;
    }
  });
  add('CIDR.containsIP(string): bool', (of: Network, address: string) => of.covers(address));
  add('CIDR.containsIP(IP): bool', (of: Network, { text }: { text: string }) => of.covers(text));
  const containsNetwork = (of: Network, other: Network): boolean => other.bits >= of.bits && of.covers(other.address);
  add('CIDR.containsCIDR(string): bool', (of: Network, other: string) => containsNetwork(of, network(other)));
  add('CIDR.containsCIDR(CIDR): bool', containsNetwork);
  add('CIDR.prefixLength(): int', ({ bits }: Network) => BigInt(bits));
}

const SEMVER = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;

class Version {
  readonly numbers: readonly bigint[];
  readonly pre: readonly string[];
  constructor(text: string) {
    const found = SEMVER.exec(text);
    if (!found) throw new Error(`semver parse error: ${JSON.stringify(text)}`);
    this.numbers = found.slice(1, 4).map(BigInt);
    this.pre = found[4]?.split('.') ?? [];
  }
  compare(other: Version): number {
    for (const [i, number] of this.numbers.entries()) {
      if (number !== other.numbers[i]) return number < other.numbers[i]! ? -1 : 1;
    }
    // A release comes after what led to it.
    if (this.pre.length === 0 || other.pre.length === 0) return Math.sign(other.pre.length - this.pre.length);
    for (const [i, part] of this.pre.entries()) {
      const theirs = other.pre[i];
      if (theirs === undefined) return 1;
      if (part === theirs) continue;
      const [mine, its] = [/^\d+$/.test(part), /^\d+$/.test(theirs)];
      if (mine && its) return BigInt(part) < BigInt(theirs) ? -1 : 1;
      return mine !== its ? (mine ? -1 : 1) : part < theirs ? -1 : 1;
    }
    return Math.sign(this.pre.length - other.pre.length);
  }
}

function registerVersions(env: Environment, add: Add): void {
  env.registerType('Semver', { ctor: Version as never, fields: {} });
  add('semver(string): Semver', (text: string) => new Version(text));
  add('isSemver(string): bool', (text: string) => SEMVER.test(text));
  for (const [i, name] of ['major', 'minor', 'patch'].entries()) {
    add(`Semver.${name}(): int`, ({ numbers }: Version) => numbers[i]);
  }
  add('Semver.isLessThan(Semver): bool', (a: Version, b: Version) => a.compare(b) < 0);
  add('Semver.isGreaterThan(Semver): bool', (a: Version, b: Version) => a.compare(b) > 0);
  add('Semver.compareTo(Semver): int', (a: Version, b: Version) => BigInt(a.compare(b)));
}
