import type { Clock } from './clock.ts';

export type LogFields = { readonly [key: string]: unknown };

/** A structured log. `error` takes the error itself, so that its cause is kept. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, error: unknown, fields?: LogFields): void;
  /** The same log with a component's name and further fields on every line. */
  child(component: string, fields?: LogFields): Log;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** A log of one line an entry: time, level, component, message, key=value. */
export function textLog(clock: Clock, write: (line: string) => void, level: LogLevel = 'info'): Log {
  return new TextLog(clock, write, LOG_LEVELS.indexOf(level), 'tsukube', {});
}

/** A log that keeps nothing. */
export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};

class TextLog implements Log {
  readonly #clock: Clock;
  readonly #write: (line: string) => void;
  readonly #minimum: number;
  readonly #component: string;
  readonly #fields: LogFields;

  constructor(clock: Clock, write: (line: string) => void, minimum: number, component: string, fields: LogFields) {
    this.#clock = clock;
    this.#write = write;
    this.#minimum = minimum;
    this.#component = component;
    this.#fields = fields;
  }

  debug(message: string, fields?: LogFields): void {
    this.#line('debug', message, fields);
  }

  info(message: string, fields?: LogFields): void {
    this.#line('info', message, fields);
  }

  warn(message: string, fields?: LogFields): void {
    this.#line('warn', message, fields);
  }

  error(message: string, error: unknown, fields?: LogFields): void {
    this.#line('error', message, { ...fields, error: describeError(error) });
  }

  child(component: string, fields: LogFields = {}): Log {
    return new TextLog(this.#clock, this.#write, this.#minimum, component, { ...this.#fields, ...fields });
  }

  #line(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (LOG_LEVELS.indexOf(level) < this.#minimum) return;
    const time = new Date(this.#clock.now()).toISOString();
    let line = `${time} ${level.toUpperCase().padEnd(5)} ${this.#component}: ${message}`;
    for (const [key, value] of Object.entries({ ...this.#fields, ...fields })) {
      if (value !== undefined) line += ` ${key}=${typeof value === 'string' ? JSON.stringify(value) : String(value)}`;
    }
    this.#write(`${line}\n`);
  }
}

/** An error's message with the messages of its causes; the stack where there is one and it is not a refusal. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : `; caused by ${describeError(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
