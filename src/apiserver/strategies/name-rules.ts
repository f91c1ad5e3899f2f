// The rules of names under short names, and as NameRules: a generateName may end where a suffix follows.
import {
  configMapKeyProblems,
  dns1035LabelProblems,
  dnsLabelProblems,
  dnsSubdomainProblems,
  labelValueProblems,
  pathSegmentProblems,
  portNameProblems,
  portNumberProblems,
  qualifiedNameProblems,
} from '../../machinery/names.ts';
import type { NameRule } from './strategy.ts';

/** A prefix may end with a dash: what is generated replaces it with one more character. */
const masked = (name: string, prefix: boolean): string => (prefix && name.length > 1 ? name.replace(/-$/, 'a') : name);

export const dnsLabel = dnsLabelProblems;
export const dnsSubdomain = dnsSubdomainProblems;
export const labelValue = labelValueProblems;
export const qualifiedName = qualifiedNameProblems;
export const configKey = configMapKeyProblems;
export const portName = portNameProblems;
export const portNumber = portNumberProblems;

export const dnsLabelName: NameRule = (name, prefix) => dnsLabelProblems(masked(name, prefix));
export const dnsSubdomainName: NameRule = (name, prefix) => dnsSubdomainProblems(masked(name, prefix));
export const dns1035Label: NameRule = (name, prefix) => dns1035LabelProblems(masked(name, prefix));
export const pathSegment: NameRule = (name, prefix) =>
  prefix ? pathSegmentProblems(`${name}a`) : pathSegmentProblems(name);
/** Events and the like: whatever fits a path segment. */
export const anyName: NameRule = pathSegment;
