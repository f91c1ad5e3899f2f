import type { Container, Pod, Secret } from '../../api/generated/types.ts';
import { abortable } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import { formatDuration } from '../../machinery/time.ts';
import { FailureBackoff } from '../backoff.ts';
import { type CriClient, CriError } from '../cri/client.ts';
import type { Image } from '../cri/types.ts';
import type { PodEvents } from '../events.ts';
import { StartError } from '../pod/start-error.ts';
import { credentialsFor } from './credentials.ts';

/** Brings images to the node by each container's pull policy; pulls of the same image are shared. */
export class ImagePuller {
  readonly #cri: CriClient;
  readonly #clock: Clock;
  readonly #events: PodEvents;
  readonly #backoff = new FailureBackoff();
  /** The last failure of a pod's image, for as long as it has to wait for it. */
  readonly #failures = new Map<string, { readonly atMs: number; readonly why: string }>();
  readonly #pulling = new Map<string, Promise<void>>();

  constructor(options: { cri: CriClient; clock: Clock; events: PodEvents }) {
    this.#cri = options.cri;
    this.#clock = options.clock;
    this.#events = options.events;
  }

  /** The image, pulled if the policy asks for it. Throws StartError with the reason that the container waits for. */
  async ensure(pod: Pod, container: Container, secrets: readonly Secret[], signal: AbortSignal): Promise<Image> {
    const name = container.image ?? '';
    const policy = container.imagePullPolicy ?? 'IfNotPresent';
    const present = await this.#cri.imageStatus(name, { signal }).catch((error) => {
      const why = `Failed to inspect image ${JSON.stringify(name)}: ${text(error)}`;
      this.#events.container(pod, container, 'Warning', 'InspectFailed', why);
      throw new StartError('ImageInspectError', why, error);
    });
    if (present && policy !== 'Always') {
      const message = `Container image "${name}" already present on machine and can be accessed by the pod`;
      this.#events.container(pod, container, 'Normal', 'Pulled', message);
      return present;
    }
    if (policy === 'Never') {
      const message = `Container image "${name}" is not present with pull policy of Never`;
      this.#events.container(pod, container, 'Warning', 'ErrImageNeverPull', message);
      throw new StartError('ErrImageNeverPull', message);
    }
    await this.#pullWithBackoff(pod, container, secrets, signal);
    const pulled = await this.#cri.imageStatus(name, { signal });
    if (!pulled) throw new StartError('ErrImagePull', `image ${JSON.stringify(name)} is missing after it was pulled`);
    return pulled;
  }

  collect(): void {
    this.#backoff.collect(this.#clock.now());
    for (const key of this.#failures.keys()) if (this.#backoff.waitMs(key) === 0) this.#failures.delete(key);
  }

  async #pullWithBackoff(
    pod: Pod,
    container: Container,
    secrets: readonly Secret[],
    signal: AbortSignal,
  ): Promise<void> {
    const name = container.image ?? '';
    const key = `${pod.metadata.uid}_${name}`;
    const nowMs = this.#clock.now();
    const failure = this.#failures.get(key);
    const untilMs = this.#backoff.waitsUntil(key, failure?.atMs ?? 0, nowMs);
    if (untilMs !== undefined) {
      const message = `Back-off pulling image "${name}"`;
      this.#events.container(pod, container, 'Normal', 'BackOff', message);
      const why = `${message}: ErrImagePull: ${failure?.why ?? ''}`;
      throw new StartError('ImagePullBackOff', why, undefined, untilMs);
    }
    const begunMs = this.#clock.monotonic();
    this.#events.container(pod, container, 'Normal', 'Pulling', `Pulling image "${name}"`);
    let waitedMs = 0;
    try {
      waitedMs = await this.#pullShared(name, secrets, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const why = text(error);
      this.#events.container(pod, container, 'Warning', 'Failed', `Failed to pull image "${name}": ${why}`);
      const failedAtMs = this.#clock.now();
      this.#backoff.next(key, failedAtMs, failedAtMs);
      this.#failures.set(key, { atMs: failedAtMs, why });
      throw new StartError('ErrImagePull', why, error, failedAtMs + this.#backoff.waitMs(key));
    }
    this.#backoff.reset(key);
    this.#failures.delete(key);
    const tookMs = this.#clock.monotonic() - begunMs;
    const size = (await this.#cri.imageStatus(name, { signal }).catch(() => undefined))?.size ?? '0';
    const took = `${goDuration(tookMs - waitedMs)} (${goDuration(tookMs)} including waiting)`;
    const message = `Successfully pulled image "${name}" in ${took}. Image size: ${size} bytes.`;
    this.#events.container(pod, container, 'Normal', 'Pulled', message);
  }

  /** Joins a pull of the same image that is under way. Returns how long was waited for somebody else's. */
  async #pullShared(name: string, secrets: readonly Secret[], signal: AbortSignal): Promise<number> {
    const begunMs = this.#clock.monotonic();
    const key = `${name} ${secrets.map((s) => s.metadata.uid).join(',')}`;
    const underWay = this.#pulling.get(key);
    if (underWay) {
      await abortable(underWay, signal);
      return this.#clock.monotonic() - begunMs;
    }
    // The pull itself is not cancelled with one of those who wait for it.
    const pull = this.#pull(name, secrets).finally(() => this.#pulling.delete(key));
    this.#pulling.set(key, pull);
    await abortable(pull, signal);
    return 0;
  }

  async #pull(name: string, secrets: readonly Secret[]): Promise<void> {
    const credentials = credentialsFor(name, secrets);
    let failure: unknown;
    for (const auth of credentials.length > 0 ? credentials : [undefined]) {
      try {
        await this.#cri.pullImage(name, auth);
        return;
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure;
  }
}

function text(error: unknown): string {
  if (error instanceof CriError) return error.rpcText;
  return error instanceof Error ? error.message : String(error);
}

function goDuration(ms: number): string {
  return formatDuration(Math.max(0, Math.round(ms)) * 1e6);
}
