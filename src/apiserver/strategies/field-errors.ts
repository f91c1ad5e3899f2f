// Constructors of validation findings with upstream's wording (apimachinery field.Error).
import type { FieldError } from '../../machinery/status.ts';

/** A bad value as upstream prints it: strings quoted, numbers and booleans bare, the rest as JSON. */
function printed(value: unknown): string {
  if (value === undefined || value === null) return '"null"';
  if (typeof value === 'bigint') return String(value);
  return JSON.stringify(value);
}

const withDetail = (text: string, detail: string): string => (detail === '' ? text : `${text}: ${detail}`);

export function required(field: string, detail = ''): FieldError {
  return { reason: 'FieldValueRequired', field, message: withDetail('Required value', detail) };
}

export function invalidValue(field: string, value: unknown, detail: string): FieldError {
  return { reason: 'FieldValueInvalid', field, message: withDetail(`Invalid value: ${printed(value)}`, detail) };
}

/** The value is not told again: it is long, or the finding is about more than it. */
export function refusedValue(field: string, detail: string): FieldError {
  return { reason: 'FieldValueInvalid', field, message: withDetail('Invalid value', detail) };
}

export function duplicate(field: string, value: unknown): FieldError {
  return { reason: 'FieldValueDuplicate', field, message: `Duplicate value: ${printed(value)}` };
}

export function forbiddenField(field: string, detail: string): FieldError {
  return { reason: 'FieldValueForbidden', field, message: withDetail('Forbidden', detail) };
}

export function notFoundValue(field: string, value: unknown): FieldError {
  return { reason: 'FieldValueNotFound', field, message: `Not found: ${printed(value)}` };
}

export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list = [...supported].sort().map((s) => JSON.stringify(s));
  const detail = list.length > 0 ? `supported values: ${list.join(', ')}` : '';
  return {
    reason: 'FieldValueNotSupported',
    field,
    message: withDetail(`Unsupported value: ${printed(value)}`, detail),
  };
}

export function tooLong(field: string, maximumBytes: number): FieldError {
  return { reason: 'FieldValueTooLong', field, message: `Too long: may not be more than ${maximumBytes} bytes` };
}

export function tooMany(field: string, actual: number, maximum: number): FieldError {
  return { reason: 'FieldValueTooMany', field, message: `Too many: ${actual}: must have at most ${maximum} items` };
}

export const FIELD_IMMUTABLE = 'field is immutable';

/** One finding a message, as the name rules of machinery/names.ts return them. */
export function eachInvalid(field: string, value: unknown, messages: readonly string[]): FieldError[] {
  return messages.map((message) => invalidValue(field, value, message));
}

export function nonNegative(field: string, value: number | bigint | undefined): FieldError[] {
  return value !== undefined && value < 0 ? [invalidValue(field, value, 'must be greater than or equal to 0')] : [];
}
