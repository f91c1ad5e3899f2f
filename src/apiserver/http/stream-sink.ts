import type { Writable } from 'node:stream';
import type { BodySink } from './exchange.ts';

/** A response body on a writable stream. Writing to one whose client is gone does nothing. */
export class StreamSink implements BodySink {
  readonly #stream: Writable;
  readonly #ended: () => void;
  readonly #brokenOff: Error | undefined;

  /**
   * `ended` is called when the body is complete. `brokenOff` is what the stream is destroyed with when it never will be: without
   * an error HTTP/2 tells the client that it was.
   */
  constructor(stream: Writable, ended: () => void = () => undefined, brokenOff?: Error) {
    this.#stream = stream;
    this.#ended = ended;
    this.#brokenOff = brokenOff;
  }

  get buffered(): number {
    return this.#stream.writableLength;
  }

  write(chunk: Buffer): boolean {
    if (this.#stream.destroyed || this.#stream.writableEnded) return false;
    return this.#stream.write(chunk);
  }

  drained(): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed || !stream.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        stream.off('drain', done);
        stream.off('close', done);
        resolve();
      };
      stream.on('drain', done);
      stream.on('close', done);
    });
  }

  end(): void {
    this.#ended();
    if (!this.#stream.destroyed && !this.#stream.writableEnded) this.#stream.end();
  }

  destroy(): void {
    this.#stream.destroy(this.#brokenOff);
  }
}
