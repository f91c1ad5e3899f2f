// A server outlives changes of etcd's membership: it asks the members who they are, and connects to those that come.
import { type Clock, sleep } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { EtcdRpc, Member } from './rpc.ts';

export interface FollowMembersOptions {
  readonly rpc: Pick<EtcdRpc, 'memberList' | 'endpoints'>;
  /** Told of the endpoints whenever they are others than before. */
  readonly use: (endpoints: readonly string[]) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly intervalMs: number;
}

/** Runs until the signal aborts. Only for members that a client reaches as they advertise themselves. */
export async function followMembers(options: FollowMembersOptions, signal: AbortSignal): Promise<void> {
  const { rpc, use, clock, log, intervalMs } = options;
  while (!signal.aborted) {
    await sleep(clock, intervalMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    const before = rpc.endpoints.map(({ url }) => url);
    // A member that is not well may know an old membership; and without any there is nothing to change.
    if (!rpc.endpoints.some(({ healthy }) => healthy)) continue;
    try {
      const now = endpointsOf(await rpc.memberList({ signal }), before);
      if (now.length === 0 || (now.length === before.length && now.every((url) => before.includes(url)))) continue;
      log.info('etcd has other members', { before: before.join(','), now: now.join(',') });
      use(now);
    } catch (error) {
      if (!signal.aborted) log.debug("etcd's members are not known", { reason: String(error) });
    }
  }
}

/** Those of before that stay, in their order, then the new ones. Who has no vote yet, or never started, serves nobody. */
export function endpointsOf(members: readonly Member[], before: readonly string[]): readonly string[] {
  const urls = members.flatMap(({ isLearner, clientUrls }) => (isLearner ? [] : clientUrls.slice(0, 1)));
  return [...before.filter((url) => urls.includes(url)), ...urls.filter((url) => !before.includes(url))];
}
