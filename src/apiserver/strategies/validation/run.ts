// One validation of one object: where the walk is, and what it found.
import type { FieldError } from '../../../machinery/status.ts';
import {
  duplicate,
  eachInvalid,
  forbiddenField,
  invalidValue,
  notFoundValue,
  required,
  tooLong,
  tooMany,
} from '../field-errors.ts';
import type { Members } from './rules.ts';

export class Run {
  readonly findings: FieldError[] = [];
  /** The whole object. */
  readonly root: Members;
  readonly #path: (string | number)[] = [];
  /** Volumes that a workload adds to its pods (claim templates of a StatefulSet). */
  claimVolumes: readonly string[] = [];

  constructor(root: Members, path: readonly (string | number)[] = []) {
    this.root = root;
    this.#path.push(...path);
  }

  /** The object is a Pod itself, not something that makes pods. */
  get isPod(): boolean {
    return this.root.kind === 'Pod';
  }

  enter(part: string | number): void {
    this.#path.push(part);
  }

  leave(): void {
    this.#path.pop();
  }

  /** Where something is, relative to the struct that is being looked at: "name", "ports[0].name", "". */
  at(relative: string): string {
    let path = '';
    for (const part of this.#path) {
      if (typeof part === 'number') path += `[${part}]`;
      else path += path === '' || part.startsWith('[') ? part : `.${part}`;
    }
    if (relative === '') return path;
    return path === '' || relative.startsWith('[') ? path + relative : `${path}.${relative}`;
  }

  required(relative: string, detail = ''): void {
    this.findings.push(required(this.at(relative), detail));
  }

  invalid(relative: string, value: unknown, detail: string): void {
    this.findings.push(invalidValue(this.at(relative), value, detail));
  }

  /** One finding a message. */
  invalidEach(relative: string, value: unknown, messages: readonly string[]): void {
    if (messages.length > 0) this.findings.push(...eachInvalid(this.at(relative), value, messages));
  }

  forbidden(relative: string, detail: string): void {
    this.findings.push(forbiddenField(this.at(relative), detail));
  }

  duplicate(relative: string, value: unknown, detail = ''): void {
    const found = duplicate(this.at(relative), value);
    this.findings.push(detail === '' ? found : { ...found, message: `${found.message}: ${detail}` });
  }

  notFound(relative: string, value: unknown): void {
    this.findings.push(notFoundValue(this.at(relative), value));
  }

  /** The supported values are listed in the order given. */
  unsupported(relative: string, value: unknown, supported: readonly string[]): void {
    const list = supported.map((s) => JSON.stringify(s)).join(', ');
    const message = `Unsupported value: ${JSON.stringify(value ?? '')}: supported values: ${list}`;
    this.findings.push({ reason: 'FieldValueNotSupported', field: this.at(relative), message });
  }

  tooLong(relative: string, maximumBytes: number): void {
    this.findings.push(tooLong(this.at(relative), maximumBytes));
  }

  tooMany(relative: string, actual: number, maximum: number): void {
    this.findings.push(tooMany(this.at(relative), actual, maximum));
  }

  /** Findings that other code made, with full paths. */
  add(findings: readonly FieldError[]): void {
    if (findings.length > 0) this.findings.push(...findings);
  }
}
