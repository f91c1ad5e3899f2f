// The queues of one priority level: start-time fair queuing. A request's place is the work that its queue has been given
// before; the one with the least goes next. A queue that was empty begins at the present, so that nobody saves up.
import { dealHand } from './shuffle-shard.ts';

export interface Queuing {
  readonly queues: number;
  readonly handSize: number;
  readonly queueLengthLimit: number;
}

/** What a request is taken to cost, per seat, until it is known: upstream's guess of 3 ms. */
const GUESSED_SECONDS = 0.003;

interface Queue<T> {
  readonly index: number;
  readonly waiting: Ticket<T>[];
  /** The place of its first request, in seat-seconds of the level's virtual time. */
  start: number;
  /** Seats that its requests wait for or hold. */
  seats: number;
}

/** A request in a queue, or under way. */
export interface Ticket<T> {
  readonly item: T;
  readonly seats: number;
  readonly queue: Queue<T>;
}

export class FairQueues<T> {
  readonly options: Queuing;
  readonly #queues: Queue<T>[];
  /** Those that are not empty. */
  readonly #active = new Set<Queue<T>>();
  /** The place of what was dispatched last: the present. */
  #now = 0;
  #length = 0;

  constructor(options: Queuing) {
    this.options = options;
    this.#queues = Array.from({ length: options.queues }, (_, index) => ({ index, waiting: [], start: 0, seats: 0 }));
  }

  /** How many wait. */
  get length(): number {
    return this.#length;
  }

  /** Puts a request into the least busy queue of its flow's hand. Undefined: that one is full. */
  enqueue(hash: number, seats: number, item: T): Ticket<T> | undefined {
    const hand = dealHand(hash, this.options.queues, this.options.handSize);
    let queue = this.#queues[hand[0]!]!;
    for (const card of hand) if (this.#queues[card]!.seats < queue.seats) queue = this.#queues[card]!;
    if (queue.waiting.length >= this.options.queueLengthLimit) return undefined;
    if (queue.waiting.length === 0) {
      queue.start = Math.max(queue.start, this.#now);
      this.#active.add(queue);
    }
    const ticket = { item, seats, queue };
    queue.waiting.push(ticket);
    queue.seats += seats;
    this.#length++;
    return ticket;
  }

  /** The request whose turn it is; it stays until it is dispatched or removed. */
  first(): Ticket<T> | undefined {
    let best: Queue<T> | undefined;
    for (const queue of this.#active) {
      if (!best || queue.start < best.start || (queue.start === best.start && queue.index < best.index)) best = queue;
    }
    return best?.waiting[0];
  }

  /** Takes the first request of its queue out, to be carried out: `done` is to be called at its end. */
  dispatch(ticket: Ticket<T>): void {
    const { queue, seats } = ticket;
    this.#now = Math.max(this.#now, queue.start);
    queue.start += seats * GUESSED_SECONDS;
    this.#take(queue, 0);
  }

  /** A dispatched request is over: its queue is charged what it took instead of what was guessed. */
  done({ queue, seats }: Ticket<T>, seconds: number): void {
    queue.seats -= seats;
    queue.start += seats * (seconds - GUESSED_SECONDS);
  }

  /** Takes out a request that waits no longer. */
  remove(ticket: Ticket<T>): void {
    const at = ticket.queue.waiting.indexOf(ticket);
    if (at < 0) return;
    ticket.queue.seats -= ticket.seats;
    this.#take(ticket.queue, at);
  }

  /** Everything that waits, queue by queue. */
  *waiting(): Iterable<Ticket<T>> {
    for (const queue of this.#queues) yield* queue.waiting;
  }

  #take(queue: Queue<T>, at: number): void {
    queue.waiting.splice(at, 1);
    this.#length--;
    if (queue.waiting.length === 0) this.#active.delete(queue);
  }
}
