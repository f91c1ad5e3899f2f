// Names and amounts of resources: of containers, pods, quotas and limit ranges.
import type { ResourceRequirements } from '../../../api/generated/types.ts';
import { compareQuantities, parseQuantity, type Quantity, QuantityError } from '../../../machinery/quantity.ts';
import { FORMATS, NOT_NEGATIVE } from './formats.ts';
import type { Run } from './run.ts';

export type Amounts = { readonly [name: string]: string } | undefined;

const CONTAINER = new Set(['cpu', 'memory', 'ephemeral-storage']);
const OBJECTS = [
  'pods', 'services', 'replicationcontrollers', 'secrets', 'configmaps', 'persistentvolumeclaims', 'resourcequotas',
  'services.nodeports', 'services.loadbalancers',
]; // biome-ignore format: a table
const QUOTA = new Set([
  'cpu', 'memory', 'ephemeral-storage', 'requests.cpu', 'requests.memory', 'requests.storage', 'requests.ephemeral-storage',
  'limits.cpu', 'limits.memory', 'limits.ephemeral-storage', ...OBJECTS,
]); // biome-ignore format: a table
const STANDARD = new Set([...QUOTA, 'storage']);
const INTEGERS = new Set(OBJECTS);

export const isHugePages = (name: string): boolean => name.startsWith('hugepages-');
const isNative = (name: string): boolean => !name.includes('/') || name.includes('kubernetes.io/');
export const isExtended = (name: string): boolean =>
  !isNative(name) && !name.startsWith('requests.') && FORMATS.qualifiedName(`requests.${name}`).length === 0;
/** A node may give away more of it than it has. */
const overcommits = (name: string): boolean => isNative(name) && !isHugePages(name);
export const isQuotaName = (name: string): boolean =>
  QUOTA.has(name) || isHugePages(name) || name.startsWith('requests.hugepages-');

export function checkResourceName(name: string, at: string, run: Run): boolean {
  const problems = FORMATS.qualifiedName(name);
  run.invalidEach(at, name, problems);
  if (problems.length > 0) return false;
  if (name.includes('/') || STANDARD.has(name) || isHugePages(name) || isQuotaName(name)) return true;
  run.invalid(at, name, 'must be a standard resource type or fully qualified');
  return false;
}

export function checkContainerResourceName(name: string, at: string, run: Run): void {
  if (CONTAINER.has(name)) return;
  checkResourceName(name, at, run);
  if (!name.includes('/')) {
    if (!isHugePages(name)) run.invalid(at, name, 'must be a standard resource for containers');
  } else if (!isNative(name) && !isExtended(name)) {
    run.invalid(at, name, "doesn't follow extended resource name standard");
  }
}

export function readQuantity(text: string): Quantity | undefined {
  try {
    return parseQuantity(String(text));
  } catch (error) {
    if (error instanceof QuantityError) return undefined;
    throw error;
  }
}

export function compareAmounts(a: string, b: string): number {
  if (a === b) return 0;
  const left = readQuantity(a);
  const right = readQuantity(b);
  return left && right ? compareQuantities(left, right) : 0;
}

/** An amount is not negative, and whole where it counts things. */
export function checkAmount(name: string, amount: string, at: string, run: Run): void {
  if (FORMATS.quantity(amount).length > 0) run.invalid(at, amount, NOT_NEGATIVE);
  if (!INTEGERS.has(name) && !isExtended(name)) return;
  const value = readQuantity(amount);
  if (value && value.scale < 0 && value.unscaled % 10n ** BigInt(-value.scale) !== 0n) {
    run.invalid(at, amount, 'must be an integer');
  }
}

function checkPages(name: string, amount: string, at: string, run: Run): void {
  const page = readQuantity(name.slice('hugepages-'.length));
  const value = readQuantity(amount);
  if (!page || !value || page.unscaled <= 0n || page.scale < 0 || value.scale < 0) return;
  const size = page.unscaled * 10n ** BigInt(page.scale);
  if ((value.unscaled * 10n ** BigInt(value.scale)) % size === 0n) return;
  run.invalid(at, amount, `${amount} is not positive integer multiple of ${name}`);
}

const POD_LEVEL = ['cpu', 'hugepages-', 'memory'];

/** Requests and limits of a container, or of a pod as a whole. */
export function checkRequirements(
  resources: ResourceRequirements,
  at: string,
  { claims, podLevel }: { readonly claims: ReadonlySet<string>; readonly podLevel: boolean },
  run: Run,
): void {
  const limits = (resources.limits ?? {}) as NonNullable<Amounts>;
  const requests = (resources.requests ?? {}) as NonNullable<Amounts>;
  const checkOne = (name: string, amount: string, path: string): void => {
    if (!podLevel) checkContainerResourceName(name, path, run);
    else if (checkResourceName(name, path, run) && !['cpu', 'memory'].includes(name) && !isHugePages(name)) {
      run.unsupported(path, name, POD_LEVEL);
    }
    checkAmount(name, amount, path, run);
    if (isHugePages(name)) checkPages(name, amount, path, run);
  };
  for (const name in limits) checkOne(name, limits[name]!, `${at}.limits[${name}]`);
  for (const name in requests) {
    const amount = requests[name]!;
    checkOne(name, amount, `${at}.requests[${name}]`);
    const limit = limits[name];
    if (limit === undefined) {
      if (!overcommits(name)) run.required(`${at}.limits`, 'Limit must be set for non overcommitable resources');
      continue;
    }
    const difference = compareAmounts(amount, limit);
    if (difference !== 0 && !overcommits(name)) {
      run.invalid(`${at}.requests`, amount, `must be equal to ${name} limit of ${limit}`);
    } else if (difference > 0) {
      run.invalid(`${at}.requests`, amount, `must be less than or equal to ${name} limit of ${limit}`);
    }
  }
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  if (names.some(isHugePages) && !names.includes('cpu') && !names.includes('memory')) {
    run.forbidden(at, 'HugePages require cpu or memory');
  }
  if (resources.claims) checkClaims(resources.claims, `${at}.claims`, claims, run);
}

function checkClaims(
  list: NonNullable<ResourceRequirements['claims']>,
  at: string,
  claims: ReadonlySet<string>,
  run: Run,
): void {
  const seen = new Set<string>();
  for (const [i, claim] of list.entries()) {
    if (!claim.name) {
      run.required(`${at}[${i}]`);
      continue;
    }
    const key = claim.request ? `${claim.name}/${claim.request}` : claim.name;
    if (claim.request) run.invalidEach(`${at}[${i}].request`, claim.request, FORMATS.dnsLabel(claim.request));
    const overlaps = seen.has(claim.name) || seen.has(key);
    const covers = !claim.request && [...seen].some((s) => s.startsWith(`${claim.name}/`));
    if (overlaps || covers) run.duplicate(`${at}[${i}]`, seen.has(claim.name) ? claim.name : key);
    seen.add(key);
    if (!claims.has(claim.name)) run.notFound(`${at}[${i}]`, claim.name);
  }
}
