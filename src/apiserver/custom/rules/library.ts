// The functions that Kubernetes adds to CEL: lists, regular expressions, URLs, quantities, addresses.

import { isIPv4, isIPv6 } from 'node:net';
import { Environment } from '@marcbachmann/cel-js';
import {
  addQuantities,
  compareQuantities,
  parseQuantity,
  type Quantity,
  scaledValue,
  subtractQuantities,
} from '../../../machinery/quantity.ts';
import { patternOf } from '../validate-value.ts';
import { FOUND } from './call-cost.ts';
import { registerComprehensions } from './comprehensions.ts';
import { registerExtensions } from './extensions.ts';
import { charge } from './meter.ts';
import { registerPresence } from './presence.ts';
import { sameCelValue } from './same.ts';

/** Parse-time limits of an expression. */
const LIMITS = {
  maxAstNodes: 10_000,
  maxDepth: 100,
  maxListElements: 1_000,
  maxMapEntries: 1_000,
  maxCallArguments: 32,
};

/** `matches` has a name of its own: the library's runs on an engine that backtracks. */
export const MATCHES = 'matchesInLinearTime';

class Url {
  readonly value: URL;
  constructor(text: string) {
    if (!/^([a-zA-Z][a-zA-Z0-9+.-]*:|\/)/.test(text))
      throw new Error(`URL parse error during conversion from string: ${text}`);
    this.value = new URL(text, 'relative://');
  }
}

class QuantityValue {
  readonly value: Quantity;
  constructor(value: Quantity) {
    this.value = value;
  }
}

class Address {
  readonly text: string;
  constructor(text: string) {
    if (!isIPv4(text) && !isIPv6(text))
      throw new Error(`IP Address ${JSON.stringify(text)} parse error during conversion from string`);
    this.text = text;
  }
}

type Comparable = string | number | bigint;

function compare(a: Comparable, b: Comparable): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sum(list: Comparable[]): Comparable {
  const [first, ...rest] = list;
  if (first === undefined) return 0n;
  return rest.reduce((total, one) => ((total as bigint) + (one as bigint)) as Comparable, first);
}

function extreme(list: Comparable[], sign: number, name: string): Comparable {
  const [first, ...rest] = list;
  if (first === undefined) throw new Error(`${name} called on empty list`);
  return rest.reduce((best, one) => (compare(one, best) * sign > 0 ? one : best), first);
}

function pattern(text: string) {
  const compiled = patternOf(text);
  if (!compiled) throw new Error(`error parsing regexp: ${text}`);
  return compiled;
}

function findAll(text: string, expression: string, limit: number): string[] {
  const matcher = pattern(expression).matcher(text);
  const found: string[] = [];
  while ((limit < 0 || found.length < limit) && matcher.find()) {
    charge(FOUND);
    found.push(matcher.group() ?? '');
  }
  return found;
}

const quantity = (text: string): QuantityValue => new QuantityValue(parseQuantity(text));

function isQuantity(text: string): boolean {
  try {
    parseQuantity(text);
    return true;
  } catch {
    return false;
  }
}

/** An environment with every function; rules add their variables to a clone. */
export function kubernetesEnvironment(): Environment {
  const env = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true, limits: LIMITS });
  env.registerType('URL', { ctor: Url as never, fields: {} });
  env.registerType('Quantity', { ctor: QuantityValue as never, fields: {} });
  env.registerType('IP', { ctor: Address as never, fields: {} });
  const add = (signature: string, handler: (...args: never[]) => unknown): void => {
    env.registerFunction(signature, handler as (...args: unknown[]) => unknown);
  };
  add(`string.${MATCHES}(string): bool`, (text: string, expression: string) =>
    pattern(expression).matcher(text).find(),
  );
  add('string.find(string): string', (text: string, expression: string) => findAll(text, expression, 1)[0] ?? '');
  add('string.findAll(string): list<string>', (text: string, expression: string) => findAll(text, expression, -1));
  add('string.findAll(string, int): list<string>', (text: string, expression: string, limit: bigint) =>
    findAll(text, expression, Number(limit)),
  );
  add('list.isSorted(): bool', (list: Comparable[]) =>
    list.every((one, i) => i === 0 || compare(list[i - 1]!, one) <= 0),
  );
  add('list.sum(): dyn', sum);
  add('list.min(): dyn', (list: Comparable[]) => extreme(list, -1, 'min'));
  add('list.max(): dyn', (list: Comparable[]) => extreme(list, 1, 'max'));
  add('list.indexOf(dyn): int', (list: unknown[], item: unknown) =>
    BigInt(list.findIndex((one) => sameCelValue(one, item))),
  );
  add('list.lastIndexOf(dyn): int', (list: unknown[], item: unknown) =>
    BigInt(list.findLastIndex((one) => sameCelValue(one, item))),
  );
  add('url(string): URL', (text: string) => new Url(text));
  add(
    'isURL(string): bool',
    (text: string) => /^([a-zA-Z][a-zA-Z0-9+.-]*:|\/)/.test(text) && URL.canParse(text, 'relative://'),
  );
  add('URL.getScheme(): string', ({ value }: Url) =>
    value.protocol === 'relative:' ? '' : value.protocol.slice(0, -1),
  );
  add('URL.getHost(): string', ({ value }: Url) => value.host);
  add('URL.getHostname(): string', ({ value }: Url) => value.hostname);
  add('URL.getPort(): string', ({ value }: Url) => value.port);
  add('URL.getEscapedPath(): string', ({ value }: Url) => value.pathname);
  add('quantity(string): Quantity', quantity);
  add('isQuantity(string): bool', isQuantity);
  add(
    'Quantity.isGreaterThan(Quantity): bool',
    (a: QuantityValue, b: QuantityValue) => compareQuantities(a.value, b.value) > 0,
  );
  add(
    'Quantity.isLessThan(Quantity): bool',
    (a: QuantityValue, b: QuantityValue) => compareQuantities(a.value, b.value) < 0,
  );
  add('Quantity.compareTo(Quantity): int', (a: QuantityValue, b: QuantityValue) =>
    BigInt(Math.sign(compareQuantities(a.value, b.value))),
  );
  add(
    'Quantity.add(Quantity): Quantity',
    (a: QuantityValue, b: QuantityValue) => new QuantityValue(addQuantities(a.value, b.value)),
  );
  add('ip(string): IP', (text: string) => new Address(text));
  add('isIP(string): bool', (text: string) => isIPv4(text) || isIPv6(text));
  add('IP.family(): int', ({ text }: Address) => (isIPv4(text) ? 4n : 6n));
  add(
    'Quantity.sub(Quantity): Quantity',
    (a: QuantityValue, b: QuantityValue) => new QuantityValue(subtractQuantities(a.value, b.value)),
  );
  add('Quantity.asInteger(): int', (a: QuantityValue) => BigInt(scaledValue(a.value, 0)));
  registerExtensions(env);
  registerComprehensions(env);
  registerPresence(env);
  return env;
}
