// String formats that schemas may ask for (upstream's list); a format that is not here asks for nothing.
import { isIP, isIPv4, isIPv6 } from 'node:net';
import { dnsLabelProblems, dnsSubdomainProblems } from '../../machinery/names.ts';

const HEX = '[0-9a-f]';
const uuid = (version: string): RegExp =>
  new RegExp(
    `^${HEX}{8}-?${HEX}{4}-?${version}${HEX}{3}-?${version === HEX ? HEX : '[89ab]'}${HEX}{3}-?${HEX}{12}$`,
    'i',
  );
const matching = (pattern: RegExp) => (text: string) => pattern.test(text);
const HOSTNAME =
  /^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$/u;
// A unit ends where its letters do: were digits part of it, a text could be cut into amounts in exponentially many ways.
const DURATION =
  /^\s*[-+]?(?:\d+(?:\.\d*)?\s*(?:ns|us|µs|ms|s|m|h|d|w|(?:nano|micro|milli|sec|min|hour|day|week)[a-z]*)\s*)+$/i;

const FORMATS: ReadonlyMap<string, (text: string) => boolean> = new Map([
  ['bsonobjectid', matching(/^[0-9a-f]{24}$/i)],
  ['byte', matching(/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/)],
  ['cidr', isCidr],
  ['creditcard', isCreditCard],
  ['date', (text) => /^\d{4}-\d\d-\d\d$/.test(text) && isDate(`${text}T00:00:00Z`, text)],
  ['date-time', isDateTime],
  ['datetime', isDateTime],
  ['duration', matching(DURATION)],
  ['email', matching(/^[^\s@<>()[\]\\,;:"]+@[^\s@<>()\\,;:"]+$/)],
  ['hexcolor', matching(/^#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})$/)],
  ['hostname', (text) => text.length <= 255 && HOSTNAME.test(text)],
  ['ipv4', isIPv4],
  ['ipv6', isIPv6],
  ['isbn', (text) => isIsbn10(text) || isIsbn13(text)],
  ['isbn10', isIsbn10],
  ['isbn13', isIsbn13],
  ['k8s-long-name', (text) => dnsSubdomainProblems(text).length === 0],
  ['k8s-short-name', (text) => dnsLabelProblems(text).length === 0],
  ['mac', matching(/^(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4})$/i)],
  [
    'rgbcolor',
    matching(
      /^rgb\((?:\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*,){2}\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*\)$/,
    ),
  ],
  ['ssn', matching(/^\d{3}[- ]?\d{2}[- ]?\d{4}$/)],
  ['uri', (text) => URL.canParse(text) || /^[a-zA-Z][a-zA-Z0-9+.-]*:[^\s]*$|^\/[^\s]*$/.test(text)],
  ['uuid', matching(uuid(HEX))],
  ['uuid3', matching(uuid('3'))],
  ['uuid4', matching(uuid('4'))],
  ['uuid5', matching(uuid('5'))],
]);

/** Whether a string has a format; true for a format that nobody knows. */
export function hasFormat(format: string, text: string): boolean {
  return FORMATS.get(format)?.(text) ?? true;
}

function isCidr(text: string): boolean {
  const [address = '', bits = '', more] = text.split('/');
  const version = isIP(address);
  return version > 0 && more === undefined && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}

const DATE_TIME = /^(\d{4}-\d\d-\d\d)[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;

function isDateTime(text: string): boolean {
  const found = DATE_TIME.exec(text);
  return found !== null && isDate(text, found[1]!);
}

/** Whether the day exists: Date takes 30 February for 2 March. */
function isDate(instant: string, day: string): boolean {
  return !Number.isNaN(Date.parse(instant)) && new Date(`${day}T00:00:00Z`).toISOString().startsWith(day);
}

const digitsOf = (text: string): string => text.replace(/[\s-]/g, '');

function isIsbn10(text: string): boolean {
  const digits = digitsOf(text);
  if (!/^\d{9}[\dXx]$/.test(digits)) return false;
  const value = (c: string): number => (c === 'X' || c === 'x' ? 10 : Number(c));
  return [...digits].reduce((sum, c, i) => sum + value(c) * (10 - i), 0) % 11 === 0;
}

function isIsbn13(text: string): boolean {
  const digits = digitsOf(text);
  return /^\d{13}$/.test(digits) && [...digits].reduce((sum, c, i) => sum + Number(c) * (i % 2 ? 3 : 1), 0) % 10 === 0;
}

/** Luhn's sum over 13 to 16 digits. */
function isCreditCard(text: string): boolean {
  const digits = text.replace(/\D+/g, '');
  if (digits.length < 13 || digits.length > 16) return false;
  const doubled = (n: number): number => (n > 4 ? n * 2 - 9 : n * 2);
  return [...digits].reverse().reduce((sum, c, i) => sum + (i % 2 ? doubled(Number(c)) : Number(c)), 0) % 10 === 0;
}
