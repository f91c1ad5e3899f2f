// Protobuf's wire format, written from the end to the beginning: when a message is done its length is known, so that nothing
// is measured beforehand and nothing is moved.

export const VARINT = 0;
export const FIXED64 = 1;
export const DELIMITED = 2;

const INITIAL_BYTES = 16 * 1024;
/** A buffer that has grown beyond this is not kept for the next message. */
const KEPT_BYTES = 1024 * 1024;
/** Shorter strings are quicker copied here than handed to Node. */
const SHORT_STRING = 24;

export class Writer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  /** Where the next byte goes is one before this. */
  #at = INITIAL_BYTES;

  /** Bytes written so far: the length of a message is the difference between two of these. */
  get length(): number {
    return this.#bytes.length - this.#at;
  }

  /** A copy of what was written, in memory of its own; the writer is empty again. */
  take(): Buffer {
    const taken = Buffer.allocUnsafeSlow(this.length);
    this.#bytes.copy(taken, 0, this.#at);
    this.clear();
    return taken;
  }

  clear(): void {
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.#at = this.#bytes.length;
  }

  /** A field's number and wire type in one byte, or as a varint. */
  tag(tag: number): void {
    if (0x80 > tag) {
      if (this.#at === 0) this.#grow(1);
      this.#bytes[--this.#at] = tag;
    } else this.unsigned(tag);
  }

  /** A number that is no negative one, up to 2^53. */
  unsigned(value: number): void {
    let bytes = 1;
    for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
    this.#reserve(bytes);
    let at = this.#at;
    let rest = value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[at++] = (rest % 0x80) | 0x80;
    this.#bytes[at] = rest;
  }

  /** int32 and int64: a negative one takes ten bytes. */
  integer(value: number | bigint): void {
    if (typeof value === 'number' && value >= 0) {
      this.unsigned(value);
      return;
    }
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
    bytes.push(Number(rest));
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
  }

  double(value: number): void {
    this.#reserve(8);
    this.#bytes.writeDoubleLE(value, this.#at);
  }

  /** A string with its length before it. */
  text(value: string): void {
    const { length } = value;
    if (length <= SHORT_STRING && this.#ascii(value)) {
      this.tag(length);
      return;
    }
    const bytes = Buffer.byteLength(value);
    this.#reserve(bytes);
    this.#bytes.write(value, this.#at, bytes, 'utf8');
    this.unsigned(bytes);
  }

  #ascii(value: string): boolean {
    const { length } = value;
    if (length > this.#at) this.#grow(length);
    const start = this.#at - length;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x80) return false;
      this.#bytes[start + i] = code;
    }
    this.#at = start;
    return true;
  }

  /** Bytes given in base64, with their length before them. */
  base64(value: string): void {
    const bytes = Buffer.byteLength(value, 'base64');
    this.#reserve(bytes);
    this.#bytes.write(value, this.#at, bytes, 'base64');
    this.unsigned(bytes);
  }

  #reserve(bytes: number): void {
    if (bytes > this.#at) this.#grow(bytes);
    this.#at -= bytes;
  }

  #grow(bytes: number): void {
    const { length } = this;
    const size = Math.max(2 * this.#bytes.length, length + bytes);
    const bigger = Buffer.allocUnsafeSlow(size);
    this.#bytes.copy(bigger, size - length, this.#at);
    this.#bytes = bigger;
    this.#at = size - length;
  }
}
