// Whether a history of one thing is linearizable: every operation seems to take effect at one moment between its call and its
// return (Wing and Gong's search with Lowe's cache of configurations, as Porcupine has it).

/** One operation of a client. Times are of one clock, in milliseconds. */
export interface Operation<Input, Output> {
  readonly call: number;
  /** Infinity: nobody knows whether it took effect; it may have at any time after the call, or never. */
  readonly return: number;
  readonly input: Input;
  /** Not looked at where the outcome is unknown. */
  readonly output: Output;
}

/** What the thing does, one operation after the other. States are compared by `key`. */
export interface Model<State, Input, Output> {
  readonly initial: State;
  /** The states in which the operation may leave the thing; none: it cannot have had this output. `known` is false for an unknown outcome. */
  step(state: State, input: Input, output: Output, known: boolean): readonly State[];
  key(state: State): string;
}

export type Verdict<Input, Output> =
  | { readonly linearizable: true }
  /** `stuck`: the operations none of which can come next, at the longest order that was found. */
  | { readonly linearizable: false; readonly ordered: number; readonly stuck: readonly Operation<Input, Output>[] }
  /** The search was given up: so many configurations were looked at. */
  | { readonly linearizable: 'unknown'; readonly configurations: number };

/** Configurations looked at before the search is given up: some hundred megabytes. */
export const MAX_CONFIGURATIONS = 2_000_000;

/** An operation's beginning or end, in a doubly linked list, so that operations are taken out and put back at once. */
interface Entry<Input, Output> {
  readonly operation: Operation<Input, Output>;
  readonly id: number;
  /** The end of a call; undefined for an end. */
  readonly match: Entry<Input, Output> | undefined;
  next: Entry<Input, Output> | undefined;
  previous: Entry<Input, Output> | undefined;
}

/** Checks the operations on one thing. Operations whose outcome is unknown may have happened or not. */
export function checkLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  operations: readonly Operation<Input, Output>[],
  limit = MAX_CONFIGURATIONS,
): Verdict<Input, Output> {
  const known = operations.filter((one) => one.return !== Number.POSITIVE_INFINITY).length;
  const head = entriesOf(operations);
  const done = new Bits(operations.length);
  const seen = new Set<string>();
  const stack: { entry: Entry<Input, Output>; state: State; choice: number; choices: readonly State[] }[] = [];
  let state = model.initial;
  let finished = 0;
  let best = { ordered: -1, stuck: [] as Operation<Input, Output>[] };
  let entry = head.next;
  let choice = 0;
  for (;;) {
    if (finished === known) return { linearizable: true };
    if (seen.size > limit) return { linearizable: 'unknown', configurations: seen.size };
    let advanced = false;
    // Only operations that were called before anything that is still open returned can be next.
    while (entry?.match) {
      const { operation } = entry;
      const isKnown = operation.return !== Number.POSITIVE_INFINITY;
      const choices = model.step(state, operation.input, operation.output, isKnown);
      for (; choice < choices.length; choice++) {
        done.set(entry.id);
        const configuration = `${done.text()} ${model.key(choices[choice]!)}`;
        if (!seen.has(configuration)) {
          seen.add(configuration);
          advanced = true;
          break;
        }
        done.clear(entry.id);
      }
      if (advanced) {
        stack.push({ entry, state, choice, choices });
        state = choices[choice]!;
        if (isKnown) finished++;
        lift(entry);
        break;
      }
      entry = entry.next;
      choice = 0;
    }
    if (advanced) {
      entry = head.next;
      choice = 0;
      continue;
    }
    if (finished > best.ordered) best = { ordered: finished, stuck: openOperations(head) };
    const last = stack.pop();
    if (!last) return { linearizable: false, ...best };
    entry = last.entry;
    state = last.state;
    done.clear(entry.id);
    if (entry.operation.return !== Number.POSITIVE_INFINITY) finished--;
    unlift(entry);
    choice = last.choice + 1;
  }
}

function entriesOf<Input, Output>(operations: readonly Operation<Input, Output>[]): Entry<Input, Output> {
  const events = operations.flatMap((operation, id) => {
    const end: Entry<Input, Output> = { operation, id, match: undefined, next: undefined, previous: undefined };
    const begin: Entry<Input, Output> = { operation, id, match: end, next: undefined, previous: undefined };
    return [
      { at: operation.call, order: 0, entry: begin },
      { at: operation.return, order: 1, entry: end },
    ];
  });
  // At one moment calls come before returns: whoever could have overlapped is taken to have.
  events.sort((a, b) => (a.at === b.at ? a.order - b.order : a.at < b.at ? -1 : 1));
  const head = { match: undefined, next: undefined, previous: undefined, id: -1 } as unknown as Entry<Input, Output>;
  let last = head;
  for (const { entry } of events) {
    last.next = entry;
    entry.previous = last;
    last = entry;
  }
  return head;
}

function lift<Input, Output>(entry: Entry<Input, Output>): void {
  for (const one of [entry, entry.match!]) {
    one.previous!.next = one.next;
    if (one.next) one.next.previous = one.previous;
  }
}

function unlift<Input, Output>(entry: Entry<Input, Output>): void {
  for (const one of [entry.match!, entry]) {
    one.previous!.next = one;
    if (one.next) one.next.previous = one;
  }
}

/** The operations that were under way where the search ended. */
function openOperations<Input, Output>(head: Entry<Input, Output>): Operation<Input, Output>[] {
  const open: Operation<Input, Output>[] = [];
  for (let entry = head.next; entry?.match; entry = entry.next) open.push(entry.operation);
  return open;
}

/** Which operations have been ordered. */
class Bits {
  readonly #words: Uint32Array;

  constructor(size: number) {
    this.#words = new Uint32Array(Math.ceil(size / 32));
  }

  set(bit: number): void {
    this.#words[bit >> 5]! |= 1 << (bit & 31);
  }

  clear(bit: number): void {
    this.#words[bit >> 5]! &= ~(1 << (bit & 31));
  }

  text(): string {
    return String.fromCharCode(...new Uint16Array(this.#words.buffer));
  }
}
