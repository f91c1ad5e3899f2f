// How an API server lets everybody know that it lives: its place among the endpoints of Service kubernetes, and its Lease.
import { type IdentityLeaseOptions, keepIdentityLease } from './identity-lease.ts';
import { ServerSet, type ServerSetOptions } from './server-set.ts';

export interface PresenceOptions {
  /** This machine's name. */
  readonly hostname: string;
  readonly identityLeaseDurationSeconds: number;
  readonly identityRenewMs: number;
  readonly identitySweepMs: number;
  readonly masterLeaseSeconds: number;
  readonly masterRenewMs: number;
}

export interface Presence {
  /** Out of the endpoints, at once. A failure is logged: the entry runs out by itself. */
  leave(): Promise<void>;
  /** Resolves when everything has ended after the signal. */
  readonly ended: Promise<void>;
}

type Own = Omit<IdentityLeaseOptions, 'durationSeconds' | 'renewMs' | 'sweepMs'> &
  Pick<ServerSetOptions, 'store' | 'address' | 'port'>;

/** A server that leaves waits for the store this long at most. */
const LEAVE_MS = 2_000;

/** Joins the living servers; resolves when this one is among the endpoints. */
export async function keepPresence(options: PresenceOptions & Own, signal: AbortSignal): Promise<Presence> {
  const { env } = options;
  const set = new ServerSet({ ...options, leaseSeconds: options.masterLeaseSeconds, renewMs: options.masterRenewMs });
  await set.beat(signal);
  const stop = new AbortController();
  const beating = set.run(AbortSignal.any([signal, stop.signal]));
  const lease = {
    durationSeconds: options.identityLeaseDurationSeconds,
    renewMs: options.identityRenewMs,
    sweepMs: options.identitySweepMs,
  };
  const leasing = keepIdentityLease({ ...options, ...lease }, signal);
  return {
    ended: Promise.all([beating, leasing]).then(() => undefined),
    async leave() {
      stop.abort(new Error('the server leaves'));
      await beating;
      const late = new AbortController();
      const timer = env.clock.timer(LEAVE_MS, () => late.abort(new Error('timed out')));
      try {
        await set.leave(AbortSignal.any([signal, late.signal]));
      } catch (error) {
        env.log.warn('unable to leave the endpoints of Service kubernetes', { error: String(error) });
      } finally {
        timer.cancel();
      }
    },
  };
}
