/** Work in the background, at most `limit` at once. Whoever starts one waits while all places are taken. */
export class BoundedTasks {
  readonly #limit: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Undefined when there is a free place now; else resolves when there is one. Only one caller may wait at a time. */
  room(): Promise<void> | undefined {
    if (this.#running < this.#limit) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Starts at once; `task` must not reject. */
  start(task: () => Promise<void>): void {
    this.#running++;
    void task().finally(() => {
      this.#running--;
      if (this.#running === 0) for (const resolve of this.#idle.splice(0)) resolve();
      this.#waiting.shift()?.();
    });
  }

  readonly #idle: (() => void)[] = [];

  /** Resolves when nothing runs. */
  drained(): Promise<void> {
    if (this.#running === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}
