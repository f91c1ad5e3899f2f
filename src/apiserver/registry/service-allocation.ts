// Addresses and node ports of services, such that two servers never give out the same.
//
// Whoever allocates first rewrites one key, the turn, and then reads all services consistently. The service is written
// under a guard on the turn: if another server took a turn meanwhile, the write is refused and the choice made again. So
// of two writes the later one's reading came after the earlier write, and saw it. Nothing needs to be given back: what
// no service holds is free.
import type { Service } from '../../api/generated/types.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { abortable } from '../../lib/abort.ts';
import { invalid, StatusError } from '../../machinery/status.ts';
import type { Guard, Store } from '../../store/contract.ts';
import type { CachedObject, RequestContext } from '../contract.ts';
import { storeError } from '../store-error.ts';
import { isHeadless, needsClusterIP } from '../strategies/service.ts';
import type { Allocation } from './allocators.ts';
import { builtIn, type Core, cacheOf } from './context.ts';
import { assign, type Held, type Holding, holdingOf, wantsAllocation } from './service-ranges.ts';

/** Outside of every resource's prefix. */
export const TURN_KEY = '/registry/ranges/services';
const TURN = Buffer.from('{"kind":"RangeAllocation"}');
/** Tries for the turn against other servers. */
const MAX_TURN_TRIES = 32;

/** Allocations of this process wait for each other here, so that they do not make each other's turns void. */
const queues = new WeakMap<Store, Promise<void>>();

export async function allocateForService(
  core: Core,
  ctx: RequestContext,
  object: Draft<KubeObject>,
  old: KubeObject | undefined,
  dryRun: boolean,
): Promise<Allocation | undefined> {
  const service = object as unknown as Draft<Service>;
  const own: Holding = old ? holdingOf(old as Service) : { addresses: [], ports: [] };
  if (!wantsAllocation(service.spec as Service['spec'], own)) {
    settleFamilies(service);
    return undefined;
  }
  const release = await enqueue(core.store, ctx.signal);
  try {
    const guards = dryRun ? [] : [await takeTurn(core, ctx)];
    await core.caches.consistent(ctx.signal);
    const held = heldByOthers(core, service as Service);
    const errors = assign(service, own, held, core.network, core.env.random);
    if (errors.length > 0) throw invalid({ group: '', kind: 'Service' }, service.metadata.name, errors);
    return { guards, release };
  } catch (error) {
    release();
    throw error;
  }
}

/** A service that is given nothing still says which family it is of. */
function settleFamilies(service: Draft<Service>): void {
  const { spec } = service;
  if (!needsClusterIP(spec as Service['spec'])) return;
  spec.ipFamilies ??= ['IPv4'];
  spec.ipFamilyPolicy ??= 'SingleStack';
  if (isHeadless(spec as Service['spec'])) spec.clusterIPs = ['None'];
}

/** Resolves when this process's allocations before this one are over. */
async function enqueue(store: Store, signal: AbortSignal): Promise<() => void> {
  const before = queues.get(store) ?? Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  queues.set(
    store,
    before.then(() => promise),
  );
  try {
    await abortable(before, signal);
  } catch (error) {
    resolve();
    throw error;
  }
  return resolve;
}

async function takeTurn(core: Core, ctx: RequestContext): Promise<Guard> {
  try {
    let expected = (await core.store.get(TURN_KEY, ctx.signal)).stored?.revision ?? 0;
    for (let tries = 0; tries < MAX_TURN_TRIES; tries++) {
      const outcome = await core.store.write({ key: TURN_KEY, value: TURN, expected }, ctx.signal);
      if (outcome.kind === 'committed') return { key: TURN_KEY, revision: outcome.revision };
      // An unknown outcome is no harm here: the turn is read again.
      const now = outcome.kind === 'conflict' ? outcome.current : (await core.store.get(TURN_KEY, ctx.signal)).stored;
      expected = now?.revision ?? 0;
    }
  } catch (error) {
    throw storeError(error);
  }
  throw new StatusError(
    'ServerTimeout',
    'could not allocate addresses: other servers are allocating too; please try again',
  );
}

const holding = (cached: CachedObject): Holding =>
  cached.derived('serviceHolding', (self) => holdingOf(self.object as Service));

function heldByOthers(core: Core, service: Service): Held {
  const addresses = new Set<string>();
  const ports = new Set<number>();
  for (const cached of cacheOf(core, builtIn(core, '', 'services')).list({}).items) {
    if (cached.namespace === service.metadata.namespace && cached.name === service.metadata.name) continue;
    const { addresses: ips, ports: nodePorts } = holding(cached);
    for (const ip of ips) addresses.add(ip);
    for (const port of nodePorts) ports.add(port);
  }
  return { addresses, ports };
}
