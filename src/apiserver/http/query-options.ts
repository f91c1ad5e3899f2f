// Query parameters and DeleteOptions bodies as the options that the pipeline takes.
import { isPrintable, MAX_FIELD_MANAGER_BYTES } from '../../machinery/apply/field-manager.ts';
import { badRequest, type FieldError, invalid } from '../../machinery/status.ts';
import type { DeleteOptions, FieldValidation, ListOptions, WatchOptions, WriteOptions } from '../contract.ts';
import { isTrue } from './request-info.ts';

type Query = URLSearchParams;

export function listOptions(query: Query): ListOptions {
  const limit = integer(query, 'limit');
  return {
    ...text(query, 'labelSelector'),
    ...text(query, 'fieldSelector'),
    ...(limit !== undefined && limit > 0 && { limit }),
    ...text(query, 'continue'),
    ...text(query, 'resourceVersion'),
    ...text(query, 'resourceVersionMatch'),
    ...flag(query, 'sendInitialEvents'),
  };
}

export function watchOptions(query: Query): WatchOptions {
  const timeoutSeconds = integer(query, 'timeoutSeconds');
  return {
    ...text(query, 'labelSelector'),
    ...text(query, 'fieldSelector'),
    ...text(query, 'resourceVersion'),
    ...text(query, 'resourceVersionMatch'),
    ...flag(query, 'allowWatchBookmarks'),
    ...flag(query, 'sendInitialEvents'),
    ...(timeoutSeconds !== undefined && timeoutSeconds > 0 && { timeoutSeconds }),
  };
}

const FIELD_VALIDATIONS: readonly string[] = ['Ignore', 'Warn', 'Strict'];

/** `kind` is what a refusal calls the options. */
export function writeOptions(query: Query, kind: 'CreateOptions' | 'UpdateOptions' | 'PatchOptions'): WriteOptions {
  const dryRun = dryRunOf(query.getAll('dryRun'));
  const fieldValidation = query.get('fieldValidation') ?? '';
  if (fieldValidation !== '' && !FIELD_VALIDATIONS.includes(fieldValidation)) {
    throw badRequest(
      `fieldValidation: Unsupported value: ${JSON.stringify(fieldValidation)}: supported values: "Ignore", "Warn", "Strict"`,
    );
  }
  const fieldManager = query.get('fieldManager') ?? '';
  if (fieldManager !== '') checkFieldManager(fieldManager, kind);
  return {
    ...(dryRun && { dryRun }),
    ...(fieldManager !== '' && { fieldManager }),
    fieldValidation: fieldValidation === '' ? 'Warn' : (fieldValidation as FieldValidation),
  };
}

function checkFieldManager(name: string, kind: string): void {
  const field = 'fieldManager';
  const errors: FieldError[] = [];
  if (Buffer.byteLength(name) > MAX_FIELD_MANAGER_BYTES) {
    const message = `Too long: may not be more than ${MAX_FIELD_MANAGER_BYTES} bytes`;
    errors.push({ field, reason: 'FieldValueTooLong', message });
  }
  let at = 0;
  for (const character of name) {
    if (!isPrintable(character)) {
      const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
      const message = `Invalid value: ${JSON.stringify(name)}: invalid character U+${code} (at position ${at})`;
      errors.push({ field, reason: 'FieldValueInvalid', message });
    }
    at += Buffer.byteLength(character);
  }
  if (errors.length > 0) throw invalid({ group: 'meta.k8s.io', kind }, '', errors);
}

function dryRunOf(values: readonly unknown[]): boolean {
  const set = values.filter((value) => value !== '');
  if (set.some((value) => value !== 'All')) {
    throw badRequest(`dryRun: Unsupported value: ${JSON.stringify(set[0])}: supported values: "All"`);
  }
  return set.length > 0;
}

const POLICIES: readonly unknown[] = ['Orphan', 'Background', 'Foreground'];

/** Options of a delete: from the body when there is one, else from the query, as upstream. */
export function deleteOptions(query: Query, body: { readonly [key: string]: unknown } | undefined): DeleteOptions {
  const source = body ?? fromQuery(query);
  const { gracePeriodSeconds, propagationPolicy, orphanDependents, preconditions } = source;
  if (propagationPolicy !== undefined && !POLICIES.includes(propagationPolicy)) {
    throw badRequest(
      `invalid DeleteOptions: propagationPolicy: Unsupported value: ${JSON.stringify(propagationPolicy)}: supported values: "Background", "Foreground", "Orphan"`,
    );
  }
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    throw badRequest('invalid DeleteOptions: orphanDependents and deletionPropagation cannot be both set');
  }
  if (typeof gracePeriodSeconds === 'number' && gracePeriodSeconds < 0) {
    throw badRequest('invalid DeleteOptions: gracePeriodSeconds: must be greater than or equal to 0');
  }
  const dryRun = dryRunOf([...((source.dryRun as unknown[]) ?? []), ...query.getAll('dryRun')]);
  return {
    ...(dryRun && { dryRun }),
    ...(gracePeriodSeconds != null && { gracePeriodSeconds: Number(gracePeriodSeconds) }),
    ...(propagationPolicy != null && { propagationPolicy: propagationPolicy as 'Background' }),
    ...(orphanDependents != null && { orphanDependents: orphanDependents === true }),
    ...(preconditions != null && { preconditions: preconditions as { uid?: string; resourceVersion?: string } }),
  };
}

function fromQuery(query: Query): { [key: string]: unknown } {
  return {
    gracePeriodSeconds: integer(query, 'gracePeriodSeconds'),
    ...text(query, 'propagationPolicy'),
    ...flag(query, 'orphanDependents'),
  };
}

function text<K extends string>(query: Query, key: K): { [P in K]?: string } {
  const value = query.get(key);
  return (value === null || value === '' ? {} : { [key]: value }) as { [P in K]?: string };
}

function flag<K extends string>(query: Query, key: K): { [P in K]?: boolean } {
  const value = query.get(key);
  return (value === null ? {} : { [key]: isTrue(value) }) as { [P in K]?: boolean };
}

function integer(query: Query, key: string): number | undefined {
  const value = query.get(key);
  if (value === null || value === '') return undefined;
  if (!/^-?\d{1,15}$/.test(value)) {
    throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(value)}: invalid syntax`);
  }
  return Number(value);
}
