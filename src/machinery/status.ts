// The one table of errors: every refusal of the API is a Status made here (meta/v1, API conventions "Response Status Kind").

export interface StatusCause {
  readonly reason?: string;
  readonly message?: string;
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

export interface StatusObject {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  /** `continue`: where to go on, on 410 for a list whose page expired. */
  readonly metadata: { readonly continue?: string };
  readonly status: 'Failure' | 'Success';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

/** Reason → HTTP code, and whether the same request may succeed when sent again. */
export const REASONS = {
  BadRequest: { code: 400, retryable: false },
  Unauthorized: { code: 401, retryable: false },
  Forbidden: { code: 403, retryable: false },
  NotFound: { code: 404, retryable: false },
  MethodNotAllowed: { code: 405, retryable: false },
  NotAcceptable: { code: 406, retryable: false },
  AlreadyExists: { code: 409, retryable: false },
  Conflict: { code: 409, retryable: true },
  Gone: { code: 410, retryable: false },
  Expired: { code: 410, retryable: false },
  RequestEntityTooLarge: { code: 413, retryable: false },
  UnsupportedMediaType: { code: 415, retryable: false },
  Invalid: { code: 422, retryable: false },
  TooManyRequests: { code: 429, retryable: true },
  InternalError: { code: 500, retryable: true },
  ServiceUnavailable: { code: 503, retryable: true },
  ServerTimeout: { code: 500, retryable: true },
  Timeout: { code: 504, retryable: true },
  StoreReadError: { code: 500, retryable: true },
} as const;

export type Reason = keyof typeof REASONS;

/** A refusal or failure of an API request. The client library throws the same class for a Status that a server sent. */
export class StatusError extends Error {
  override name = 'StatusError';
  readonly reason: string;
  readonly code: number;
  readonly details: StatusDetails | undefined;
  readonly continue: string | undefined;

  constructor(
    reason: Reason,
    message: string,
    details?: StatusDetails,
    options?: { code?: number; cause?: unknown; continue?: string },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.code = options?.code ?? REASONS[reason].code;
    this.details = details;
    this.continue = options?.continue;
  }

  get status(): StatusObject {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: this.continue === undefined ? {} : { continue: this.continue },
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(this.details && { details: this.details }),
      code: this.code,
    };
  }
}

/** A Status received from a server as an error. Unknown reasons are kept as they came. */
export function errorFromStatus(status: Partial<StatusObject>, httpCode: number): StatusError {
  const error = new StatusError('InternalError', status.message ?? `the server answered ${httpCode}`, status.details, {
    code: status.code ?? httpCode,
  });
  return Object.assign(error, { reason: status.reason ?? '' });
}

export function isReason(error: unknown, ...reasons: Reason[]): error is StatusError {
  return error instanceof StatusError && reasons.some((reason) => error.reason === reason);
}

interface ResourceName {
  readonly group: string;
  readonly resource: string;
}

const qualified = (r: ResourceName): string => (r.group === '' ? r.resource : `${r.resource}.${r.group}`);
const detailsOf = (r: ResourceName, name: string): StatusDetails => ({
  ...(name !== '' && { name }),
  ...(r.group !== '' && { group: r.group }),
  kind: r.resource,
});

export function notFound(resource: ResourceName, name: string): StatusError {
  return new StatusError('NotFound', `${qualified(resource)} "${name}" not found`, detailsOf(resource, name));
}

export function alreadyExists(resource: ResourceName, name: string): StatusError {
  return new StatusError('AlreadyExists', `${qualified(resource)} "${name}" already exists`, detailsOf(resource, name));
}

export function conflict(resource: ResourceName, name: string, why: string): StatusError {
  const message = `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${why}`;
  return new StatusError('Conflict', message, detailsOf(resource, name));
}

export const OBJECT_MODIFIED =
  'the object has been modified; please apply your changes to the latest version and try again';

export function badRequest(message: string, cause?: unknown): StatusError {
  return new StatusError('BadRequest', message, undefined, { cause });
}

export function forbidden(resource: ResourceName, name: string, why: string): StatusError {
  const what = resource.resource === '' ? '' : `${qualified(resource)}${name === '' ? '' : ` "${name}"`} is `;
  return new StatusError('Forbidden', `${what}forbidden: ${why}`, detailsOf(resource, name));
}

/** One finding of validation: upstream's field.Error. */
export interface FieldError {
  /** Cause reason: FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueForbidden ... */
  readonly reason: FieldErrorReason;
  /** Path, as in `spec.containers[0].name`. */
  readonly field: string;
  /** The text after the path: `Required value: must be set`. */
  readonly message: string;
}

export type FieldErrorReason =
  | 'FieldValueNotFound'
  | 'FieldValueRequired'
  | 'FieldValueDuplicate'
  | 'FieldValueInvalid'
  | 'FieldValueNotSupported'
  | 'FieldValueForbidden'
  | 'FieldValueTooLong'
  | 'FieldValueTooMany'
  | 'FieldValueTypeInvalid'
  | 'InternalError';

/** 422 with one cause a finding; `kind` is the object's kind and `group` its group, as upstream's NewInvalid. */
export function invalid(
  kind: { group: string; kind: string },
  name: string,
  errors: readonly FieldError[],
): StatusError {
  const texts = errors.map((e) => `${e.field}: ${e.message}`);
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const what = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  return new StatusError('Invalid', `${what} "${name}" is invalid: ${list}`, {
    name,
    ...(kind.group !== '' && { group: kind.group }),
    kind: kind.kind,
    causes: errors.map((e) => ({ reason: e.reason, message: e.message, field: e.field })),
  });
}
