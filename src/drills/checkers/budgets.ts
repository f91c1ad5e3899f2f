// Whether evictions kept to the budgets, judged by the watch: it shows changes in the order in which they were made.
import type { Clock } from '../../lib/clock.ts';
import { type App, MIN_AVAILABLE, type PodView } from '../run/workload.ts';

/** A budget's status follows its pods: an eviction may cross with the loss of another pod, here as in any Kubernetes. */
const CROSSING_MS = 1_000;

const counts = ({ isReady, isLeaving }: PodView): boolean => isReady && !isLeaving;

export class Budgets {
  /** Pods that an eviction told to go. */
  evicted = 0;
  /** Those that went while too few others were ready. */
  readonly overdrawn: string[] = [];
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #pods = new Map<string, PodView>();
  /** When pods were lost that nobody evicted, and their apps. */
  #losses: { readonly app: string; readonly atMs: number }[] = [];

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** What there is, where nothing is known of what came before. */
  begin(pods: readonly PodView[]): void {
    this.#pods.clear();
    this.#losses = [];
    for (const pod of pods) this.#pods.set(pod.uid, pod);
  }

  saw(isGone: boolean, pod: PodView): void {
    const least = MIN_AVAILABLE[pod.app as App];
    if (least === undefined) return;
    const before = this.#pods.get(pod.uid);
    if (isGone) this.#pods.delete(pod.uid);
    else this.#pods.set(pod.uid, pod);
    if (!before || !counts(before) || (!isGone && counts(pod))) return;
    const atMs = this.#clock.monotonic();
    this.#losses = this.#losses.filter((loss) => atMs - loss.atMs < CROSSING_MS);
    if (!pod.isEvicted) {
      this.#losses.push({ app: pod.app, atMs });
      return;
    }
    this.evicted++;
    const left = [...this.#pods.values()].filter((one) => one.app === pod.app && counts(one)).length;
    const crossing = this.#losses.filter(({ app }) => app === pod.app).length;
    if (left + crossing < least) this.overdrawn.push(`${pod.name} was evicted, and ${left} of ${least} were ready`);
  }
}
