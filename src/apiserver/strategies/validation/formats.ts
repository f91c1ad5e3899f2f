// The formats that rules name: each returns its findings in upstream's words, none for a good value.
import { isIP } from 'node:net';
import {
  cIdentifierProblems,
  configMapKeyProblems,
  dns1035LabelProblems,
  dnsLabelProblems,
  dnsSubdomainProblems,
  httpHeaderNameProblems,
  labelValueProblems,
  pathSegmentProblems,
  percentProblems,
  portNameProblems,
  portNumberProblems,
  qualifiedNameProblems,
  regexMessage,
  relaxedEnvironmentVariableProblems,
  wildcardSubdomainProblems,
} from '../../../machinery/names.ts';
import { parseQuantity, QuantityError } from '../../../machinery/quantity.ts';

export const NOT_NEGATIVE = 'must be greater than or equal to 0';
export const POSITIVE = 'must be greater than zero';
export const IP = 'must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)';
export const CIDR = 'must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)';

/** -1, 0 or 1; undefined for what is no quantity. */
export function quantitySign(text: unknown): number | undefined {
  try {
    const { unscaled } = parseQuantity(String(text));
    return unscaled > 0n ? 1 : unscaled < 0n ? -1 : 0;
  } catch (error) {
    if (error instanceof QuantityError) return undefined;
    throw error;
  }
}

export function isCidr(value: string): boolean {
  const slash = value.indexOf('/');
  const family = slash < 0 ? 0 : isIP(value.slice(0, slash));
  const bits = value.slice(slash + 1);
  return family !== 0 && /^(0|[1-9][0-9]{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

/** No element of the path is "..". */
function noBacksteps(path: string): string[] {
  return path.includes('..') && path.split('/').includes('..') ? ["must not contain '..'"] : [];
}

function descendingPath(path: string): string[] {
  return [...(path.startsWith('/') ? ['must be a relative path'] : []), ...noBacksteps(path)];
}

function localPath(path: string): string[] {
  const reserved = path.startsWith('..') && !path.startsWith('../');
  return [...descendingPath(path), ...(reserved ? ["must not start with '..'"] : [])];
}

function port(value: unknown): string[] {
  return typeof value === 'string' ? portNameProblems(value) : portNumberProblems(value as number);
}

/** A driver of a volume: a subdomain whose case does not matter. */
function csiDriver(name: string): string[] {
  return dnsSubdomainProblems(name.toLowerCase());
}

/** "example.com/controller": a subdomain, a slash and a path. */
function domainPrefixedPath(value: string): string[] {
  const slash = value.indexOf('/');
  if (slash < 0 || value.length === slash + 1) return ['must be a domain-prefixed path (such as "acme.io/foo")'];
  const problems = dnsSubdomainProblems(value.slice(0, slash)).map((p) => `prefix part ${p}`);
  const path = value.slice(slash + 1);
  if (/^[A-Za-z0-9/\-._~%!$&'()*+,;=:]+$/.test(path)) return problems;
  return [...problems, `Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')`];
}

function userId(id: number | bigint): string[] {
  return id >= 0 && id <= 2147483647 ? [] : ['must be between 0 and 2147483647, inclusive'];
}

const SYSCTL_SEGMENT = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const SYSCTL = `^(${SYSCTL_SEGMENT}[\\./])*${SYSCTL_SEGMENT}$`;
const sysctl = new RegExp(SYSCTL);
const MAX_SYSCTL = 253;

const UNDERSCORED_LABEL = '[a-z0-9]([-_a-z0-9]*[a-z0-9])?';
const underscored = new RegExp(`^_?${UNDERSCORED_LABEL}(\\._?${UNDERSCORED_LABEL})*$`);

/** A domain to search: it may end with a dot, and may have underscores. */
function searchDomain(value: string): string[] {
  const name = value === '.' ? 'a' : value.replace(/\.$/, '');
  return underscored.test(name) ? [] : dnsSubdomainProblems(name);
}

/** A name below a domain: at least three parts. */
function fullName(name: string): string[] {
  const problems = dnsSubdomainProblems(name);
  if (problems.length > 0 || name.split('.').length >= 3) return problems;
  return ['should be a domain with at least three segments separated by dots'];
}

export const FORMATS = {
  absolutePath: (v: string) => (v.startsWith('/') ? [] : ['must be an absolute path']),
  cIdentifier: cIdentifierProblems,
  cidr: (v: string) => (isCidr(v) ? [] : [CIDR]),
  configKey: configMapKeyProblems,
  csiDriver,
  descendingPath,
  dns1035Label: dns1035LabelProblems,
  dnsLabel: dnsLabelProblems,
  dnsSubdomain: dnsSubdomainProblems,
  domainPrefixedPath,
  envName: relaxedEnvironmentVariableProblems,
  fileMode: (v: number) =>
    v >= 0 && v <= 0o777 ? [] : ['must be a number between 0 and 0777 (octal), both inclusive'],
  fullName,
  httpHeader: httpHeaderNameProblems,
  ip: (v: string) => (isIP(v) === 0 ? [IP] : []),
  labelValue: labelValueProblems,
  localPath,
  lowerQualifiedName: (v: string) => qualifiedNameProblems(v.toLowerCase()),
  noBacksteps,
  pathSegment: pathSegmentProblems,
  percent: percentProblems,
  port,
  portName: portNameProblems,
  portNumber: portNumberProblems,
  positiveQuantity: (v: string) => (quantitySign(v) === 1 ? [] : [POSITIVE]),
  qualifiedName: qualifiedNameProblems,
  quantity: (v: string) => (quantitySign(v) === -1 ? [NOT_NEGATIVE] : []),
  searchDomain,
  sysctl: (v: string) =>
    v.length <= MAX_SYSCTL && sysctl.test(v)
      ? []
      : [`must have at most ${MAX_SYSCTL} characters and match regex ${SYSCTL}`],
  trimmed: (v: string) => (v.trim() === v ? [] : ['must not have leading or trailing whitespace']),
  userId,
  wildcardSubdomain: wildcardSubdomainProblems,
} as const;

export type FormatName = keyof typeof FORMATS;

export { regexMessage };
