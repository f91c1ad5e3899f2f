/** A broken invariant of store, cache or revisions: the only kind of error that ends the process. */
export class InvariantError extends Error {
  override name = 'InvariantError';
}

/** States an invariant. It never guards against bad input: that gets a Status. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
