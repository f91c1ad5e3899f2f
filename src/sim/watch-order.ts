// What every watch must deliver: each change after its beginning, once, in order.

import { REGISTRY_ROOT } from '../apiserver/cache/keys.ts';
import type { Target, WatchDelivery, WatchOptions } from '../apiserver/contract.ts';
import type { History } from './history.ts';
import type { Violations } from './violations.ts';

export class WatchOrder {
  readonly #history: History;
  readonly #violations: Violations;
  #checked = 0;

  constructor(history: History, violations: Violations) {
    this.#history = history;
    this.#violations = violations;
  }

  /** Deliveries that were compared with the store's history. */
  get checked(): number {
    return this.#checked;
  }

  /** The check of one watch, to be told of each of its deliveries. */
  begin(name: string, target: Target, options: WatchOptions): (delivery: WatchDelivery) => void {
    const { resource, namespace } = target;
    const from = Number(options.resourceVersion ?? 0);
    const all = !options.labelSelector && !options.fieldSelector && target.name === undefined;
    const prefix = resource.etcdPrefix === undefined ? undefined : `${REGISTRY_ROOT}${resource.etcdPrefix}/`;
    // A watch that begins with the present delivers states first; only its order can be told.
    const complete = all && from > 0 && namespace === undefined && prefix !== undefined;
    const title = `watch ${name} of ${resource.resource}`;
    let cursor = from;
    return (delivery) => {
      const { revision, type } = delivery;
      this.#checked++;
      const goesOn = type === 'BOOKMARK' ? revision >= cursor : revision > cursor || from === 0;
      if (!goesOn) this.#violations.add('watch order', `${title}: ${type} of revision ${revision} after ${cursor}`);
      if (complete) {
        const due = this.#history.between(prefix, cursor, revision);
        const skipped = type === 'BOOKMARK' ? due : due.filter((one) => one !== revision);
        if (skipped.length > 0) {
          this.#violations.add(
            'watch order',
            `${title}: ${type} of revision ${revision} without ${skipped.join(', ')}`,
          );
        }
        if (type !== 'BOOKMARK' && !due.includes(revision) && goesOn) {
          this.#violations.add('watch order', `${title}: ${type} of revision ${revision}, which changed nothing of it`);
        }
      }
      cursor = Math.max(cursor, revision);
    };
  }
}
