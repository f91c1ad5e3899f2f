// Quantities (resource.Quantity of k8s.io/apimachinery): exact decimal numbers with SI, binary or exponent suffixes.

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

/** The number `unscaled` × 10^`scale`, and how it is written. */
export interface Quantity {
  readonly unscaled: bigint;
  readonly scale: number;
  readonly format: QuantityFormat;
}

/** A text that is no quantity. The message is upstream's. */
export class QuantityError extends Error {
  override name = 'QuantityError';
}

const FORMAT_WRONG = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const NUMERIC_WRONG = 'unable to parse numeric part of quantity';
const SUFFIX_WRONG = "unable to parse quantity's suffix";

/** A sign, digits, a fraction, and a suffix; the first three may each be empty, as upstream's scanner has it. */
const SHAPE = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)$/;
const DECIMAL_SUFFIX: { readonly [suffix: string]: number | undefined } = {
  n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18,
}; // biome-ignore format: a table
const DECIMAL_BY_EXPONENT = new Map(Object.entries(DECIMAL_SUFFIX).map(([suffix, exponent]) => [exponent!, suffix]));
const BINARY_SUFFIXES = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const NANO = -9;
const MAX_BINARY = 2n ** 63n - 1n;
/** Larger exponents are refused: no resource needs them, and arithmetic with them would not end. */
const MAX_EXPONENT = 1000;
/** Longer texts are refused: arithmetic with so many digits would take long, and no quantity has them. */
const MAX_TEXT = 1000;
/** Texts whose results are kept. At the limit everything is forgotten. */
const CACHE_LIMIT = 10_000;

const parsedTexts = new Map<string, Quantity>();

/** Throws QuantityError. Fractions below one nano are rounded away from zero; binary values are capped at 2^63-1. */
export function parseQuantity(text: string): Quantity {
  return parsedTexts.get(text) ?? remember(parsedTexts, text, parse(text));
}

function parse(text: string): Quantity {
  if (text === '') throw new QuantityError(FORMAT_WRONG);
  if (text.length > MAX_TEXT) throw new QuantityError(NUMERIC_WRONG);
  const match = SHAPE.exec(text);
  if (!match) throw new QuantityError(FORMAT_WRONG);
  const [, sign, whole = '', fraction = '', suffix = ''] = match;
  const { binary, exponent, format } = readSuffix(suffix);
  const digits = whole + fraction;
  let unscaled = digits === '' ? 0n : BigInt(digits);
  if (unscaled === 0n) return { unscaled: 0n, scale: 0, format };
  if (binary) unscaled <<= BigInt(exponent);
  const rounded = rescaleUp({ unscaled, scale: (binary ? 0 : exponent) - fraction.length, format }, NANO, false);
  const capped = binary && compareQuantities(rounded, { unscaled: MAX_BINARY, scale: 0, format }) > 0;
  const value = capped ? { unscaled: MAX_BINARY, scale: 0, format } : rounded;
  return sign === '-' ? { ...value, unscaled: -value.unscaled } : value;
}

function readSuffix(suffix: string): { binary: boolean; exponent: number; format: QuantityFormat } {
  const decimal = DECIMAL_SUFFIX[suffix];
  if (decimal !== undefined) return { binary: false, exponent: decimal, format: 'DecimalSI' };
  const binary = BINARY_SUFFIXES.indexOf(suffix);
  if (binary > 0) return { binary: true, exponent: binary * 10, format: 'BinarySI' };
  if (!/^[eE][-+]?[0-9]+$/.test(suffix)) throw new QuantityError(SUFFIX_WRONG);
  const exponent = Number(suffix.slice(1));
  if (Math.abs(exponent) > MAX_EXPONENT) throw new QuantityError(NUMERIC_WRONG);
  return { binary: false, exponent, format: 'DecimalExponent' };
}

/** `q` with a scale of at least `scale`, rounded away from zero. `exactly` brings it to that scale also from above. */
function rescaleUp(q: Quantity, scale: number, exactly: boolean): Quantity {
  if (q.scale >= scale) {
    return exactly ? { ...q, unscaled: q.unscaled * 10n ** BigInt(q.scale - scale), scale } : q;
  }
  const divisor = 10n ** BigInt(scale - q.scale);
  const quotient = q.unscaled / divisor;
  const exact = quotient * divisor === q.unscaled;
  return { ...q, unscaled: exact ? quotient : quotient + (q.unscaled < 0n ? -1n : 1n), scale };
}

/** The canonical text, as upstream's Quantity.String. */
export function formatQuantity(q: Quantity): string {
  if (q.unscaled === 0n) return '0';
  if (q.format === 'BinarySI') {
    const integer = rescaleUp(q, 0, true);
    const small = integer.unscaled > -1024n && integer.unscaled < 1024n;
    if (!small && compareQuantities(integer, q) === 0) return formatBinary(integer.unscaled);
  }
  return formatDecimal(q);
}

function formatBinary(value: bigint): string {
  let power = 0;
  let rest = value;
  while (power < BINARY_SUFFIXES.length - 1 && rest % 1024n === 0n) {
    rest /= 1024n;
    power++;
  }
  return `${rest}${BINARY_SUFFIXES[power]}`;
}

function formatDecimal(q: Quantity): string {
  let { unscaled, scale } = q;
  while (unscaled % 10n === 0n) {
    unscaled /= 10n;
    scale++;
  }
  const highest = q.format === 'DecimalExponent' ? Number.POSITIVE_INFINITY : 18;
  const exponent = Math.min(Math.floor(scale / 3) * 3, highest);
  unscaled *= 10n ** BigInt(scale - exponent);
  if (q.format === 'DecimalExponent') return exponent === 0 ? `${unscaled}` : `${unscaled}e${exponent}`;
  return `${unscaled}${DECIMAL_BY_EXPONENT.get(exponent)}`;
}

const canonicalTexts = new Map<string, string>();

/** The canonical form of a quantity's text: "1000m" is "1", "1024Mi" is "1Gi". Throws QuantityError. */
export function canonicalQuantity(text: string): string {
  const known = canonicalTexts.get(text);
  if (known !== undefined) return known;
  return remember(canonicalTexts, text, formatQuantity(parseQuantity(text)));
}

const milliValues = new Map<string, number>();

/** Thousandths, rounded up (away from zero): CPU. Exact up to 2^53. */
export function milliValue(text: string): number {
  return milliValues.get(text) ?? remember(milliValues, text, scaledValue(parseQuantity(text), -3));
}

const wholeValues = new Map<string, number>();

/** Units, rounded up (away from zero): memory, counts. Exact up to 2^53. */
export function quantityValue(text: string): number {
  return wholeValues.get(text) ?? remember(wholeValues, text, scaledValue(parseQuantity(text), 0));
}

/** `q` in units of 10^`scale`, rounded up (away from zero). */
export function scaledValue(q: Quantity, scale: number): number {
  return Number(rescaleUp(q, scale, true).unscaled);
}

/** `q` with no digits below 10^`scale`: rounded away from zero. */
export function roundUp(q: Quantity, scale: number): Quantity {
  return rescaleUp(q, scale, false);
}

/** The sum, written as `a` is; as `b` when `a` is zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  const scale = Math.min(a.scale, b.scale);
  const unscaled = rescaleUp(a, scale, true).unscaled + rescaleUp(b, scale, true).unscaled;
  return { unscaled, scale, format: a.unscaled === 0n ? b.format : a.format };
}

/** The difference a - b, written as `a` is; as `b` when `a` is zero. */
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return addQuantities(a, { ...b, unscaled: -b.unscaled });
}

/** Below, equal to or above zero as `a` is less than, equal to or more than `b`. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  const scale = Math.min(a.scale, b.scale);
  const difference = rescaleUp(a, scale, true).unscaled - rescaleUp(b, scale, true).unscaled;
  return difference === 0n ? 0 : difference < 0n ? -1 : 1;
}

function remember<T>(cache: Map<string, T>, text: string, value: T): T {
  if (cache.size >= CACHE_LIMIT) cache.clear();
  cache.set(text, value);
  return value;
}
