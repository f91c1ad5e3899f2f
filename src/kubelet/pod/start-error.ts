/** A container could not be started: `reason` is what its status waits for, until `retryAtMs` if that is known. */
export class StartError extends Error {
  override name = 'StartError';
  readonly reason: string;
  readonly retryAtMs: number | undefined;

  constructor(reason: string, message: string, cause?: unknown, retryAtMs?: number) {
    super(message, { cause });
    this.reason = reason;
    this.retryAtMs = retryAtMs;
  }
}
