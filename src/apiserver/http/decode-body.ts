// Request bodies as objects: parsed, checked against what the URL says, pruned, defaulted.
import { decode } from '../../api/codec.ts';
import { applyDefaults } from '../../api/defaults.ts';
import { checkDepth, duplicateKeys, isJsonObject, parseJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Tables } from '../../api/tables.ts';
import { keepReset } from '../../machinery/apply/managed-fields.ts';
import { badRequest, StatusError } from '../../machinery/status.ts';
import type { FieldValidation, Target } from '../contract.ts';
import type { Encoding } from './media.ts';

/**
 * YAML is read at some hundred kilobytes a second, in one go: larger texts would hold up everybody. JSON, which YAML is too,
 * has no limit but that of every body.
 */
export const MAX_YAML_CHARACTERS = 256 * 1024;

function yamlTooLarge(): StatusError {
  const why = `limit is ${MAX_YAML_CHARACTERS} for YAML, larger objects are to be sent as JSON`;
  return new StatusError('RequestEntityTooLarge', `Request entity too large: ${why}`);
}

/** The kind that a request's body must have. */
export interface Expected {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** Name in the table of types. */
  readonly type: string;
}

/** What a target takes as its body: the resource's kind, or the subresource's own (Scale, Eviction, TokenRequest ...). */
export function expectedBody(tables: Tables, target: Target): Expected {
  const { resource, subresource } = target;
  const sub = subresource === undefined ? undefined : resource.subresources.get(subresource);
  if (!sub || sub.kind === resource.kind) {
    const { group, version, kind, type } = resource;
    return { group, version, kind, type };
  }
  const { group, version, kind } = sub;
  const type = tables.typeOfKind(apiVersionOf(sub), kind);
  if (type === undefined)
    throw badRequest(`no kind ${JSON.stringify(kind)} is registered for version "${apiVersionOf(sub)}"`);
  return { group, version, kind, type };
}

export interface ParsedBody {
  readonly value: unknown;
  /** `duplicate field "x"` */
  readonly problems: readonly string[];
}

/** Parses a body into the JSON value it stands for. Throws BadRequest with upstream's words. */
export async function parseBody(
  tables: Tables,
  body: Buffer,
  encoding: Encoding,
  expected: Expected,
): Promise<ParsedBody> {
  if (encoding === 'protobuf') return parseProtobuf(tables, body, expected);
  const text = body.toString('utf8');
  try {
    if (encoding === 'yaml') {
      if (text.length > MAX_YAML_CHARACTERS && !/^\s*[{[]/.test(text)) throw yamlTooLarge();
      const { parseYaml } = await import('../../api/yaml.ts');
      return { value: parseYaml(text), problems: [] };
    }
    const value = parseJson(text);
    const problems = duplicateKeys(text, value).map((path) => `duplicate field ${JSON.stringify(path)}`);
    return { value, problems };
  } catch (error) {
    if (error instanceof StatusError) throw error;
    const why = `couldn't get version/kind; json parse error: ${(error as Error).message}`;
    throw unrecognized(expected.kind, why, body, error);
  }
}

/**
 * An applied configuration: YAML, which JSON is too. Keys that occur twice are refused or warned of. Whether its fields are
 * known is seen when it is applied.
 */
export async function parseConfiguration(
  body: Buffer,
  fieldValidation: FieldValidation,
  warn: (text: string) => void,
): Promise<unknown> {
  const text = body.toString('utf8');
  const problems: string[] = [];
  let value: unknown;
  try {
    if (/^\s*\{/.test(text)) {
      value = parseJson(text);
      const paths = fieldValidation === 'Ignore' ? [] : duplicateKeys(text, value);
      problems.push(...paths.map((path) => `key ${JSON.stringify(path)} already set in map`));
    } else {
      if (text.length > MAX_YAML_CHARACTERS) throw yamlTooLarge();
      const { parseYaml } = await import('../../api/yaml.ts');
      value = parseYaml(text, problems);
    }
    checkDepth(value);
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw badRequest(`error decoding YAML: ${(error as Error).message}`, error);
  }
  if (problems.length === 0 || fieldValidation === 'Ignore') return value;
  const found = `error converting YAML to JSON: yaml: unmarshal errors:\n${problems.map((text) => `  ${text}`).join('\n')}`;
  if (fieldValidation === 'Strict') throw badRequest(`error strict decoding YAML: ${found}`);
  warn(found);
  return value;
}

async function parseProtobuf(tables: Tables, body: Buffer, expected: Expected): Promise<ParsedBody> {
  const { decodeProtobuf, readEnvelope } = await import('../../api/protobuf-decode.ts');
  try {
    const { kind, apiVersion, raw } = readEnvelope(body);
    // A message can only be read as what it is; its version is checked with everybody's.
    if (kind !== expected.kind) checkKind(tables, { kind, apiVersion }, expected);
    return { value: { kind, apiVersion, ...decodeProtobuf(tables, expected.type, raw) }, problems: [] };
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw unrecognized(expected.kind, (error as Error).message, body, error);
  }
}

function unrecognized(kind: string, why: string, body: Buffer, cause?: unknown): StatusError {
  const hex = body.length > 30 ? `${body.toString('hex', 0, 30)} ...` : body.toString('hex');
  return badRequest(`the object provided is unrecognized (must be of type ${kind}): ${why} (${hex})`, cause);
}

export interface DecodeRequest {
  readonly tables: Tables;
  readonly target: Target;
  readonly body: Buffer;
  readonly encoding: Encoding;
  readonly fieldValidation: FieldValidation;
  readonly warn: (text: string) => void;
  readonly nowMs: number;
}

/** The object of a create or update, with the URL's namespace filled in. Throws BadRequest with upstream's words. */
export async function decodeBody(request: DecodeRequest): Promise<KubeObject> {
  const { tables, target, body, fieldValidation, warn } = request;
  const expected = expectedBody(tables, target);
  if (body.length === 0) throw unrecognized(expected.kind, "couldn't get version/kind; json parse error: EOF", body);
  const { value, problems: textProblems } = await parseBody(tables, body, request.encoding, expected);
  if (!isJsonObject(value))
    throw unrecognized(expected.kind, "couldn't get version/kind; json parse error: not an object", body);
  checkKind(tables, value as { kind?: unknown; apiVersion?: unknown }, expected);
  const sent = managedFieldsAsSent(value);
  const { object, problems } = decode<KubeObject>(tables, expected.type, value, { fieldValidation, textProblems });
  for (const problem of problems) if (fieldValidation === 'Warn') warn(problem);
  keepReset(sent, object);
  object.apiVersion = apiVersionOf(expected);
  object.kind = expected.kind;
  applyDefaults(tables, expected.type, object, { nowMs: request.nowMs });
  // A type without metadata (DeleteOptions-like bodies) is left as it is.
  const metadata = object.metadata as { name?: string; namespace?: string } | undefined;
  if (metadata) checkPlace(metadata, target);
  return object as KubeObject;
}

/** Decoding changes the value. */
function managedFieldsAsSent(value: object): unknown {
  const { metadata } = value as { metadata?: { managedFields?: unknown } | null };
  return { metadata: { managedFields: metadata?.managedFields } };
}

/** Versions of bodies that are no longer served but still taken where a newer one is expected: what older kubectls drain with. */
const ALSO_TAKEN: ReadonlyMap<string, string> = new Map([['policy/v1beta1/Eviction', 'policy/v1']]);

function checkKind(tables: Tables, value: { kind?: unknown; apiVersion?: unknown }, expected: Expected): void {
  const kind = typeof value.kind === 'string' && value.kind !== '' ? value.kind : expected.kind;
  const wanted = apiVersionOf(expected);
  const apiVersion = typeof value.apiVersion === 'string' && value.apiVersion !== '' ? value.apiVersion : wanted;
  if (kind === expected.kind && (apiVersion === wanted || ALSO_TAKEN.get(`${apiVersion}/${kind}`) === wanted)) return;
  const version = apiVersion.slice(apiVersion.indexOf('/') + 1);
  const cannot = `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${expected.kind}`;
  const known = tables.byKind(apiVersion, kind) ?? tables.typeOfKind(apiVersion, kind);
  if (!known)
    throw badRequest(
      `${cannot}: no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`,
    );
  if (kind !== expected.kind)
    throw badRequest(`${cannot}: converting (${version}.${kind}) to (${expected.kind}): unknown conversion`);
  throw badRequest(`the API version in the data (${apiVersion}) does not match the expected API version (${wanted})`);
}

function checkPlace(metadata: { name?: string; namespace?: string }, target: Target): void {
  const namespace = target.resource.namespaced ? (target.namespace ?? '') : '';
  if (!metadata.namespace) {
    if (namespace !== '') metadata.namespace = namespace;
  } else if (metadata.namespace !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  if (target.name === undefined) return;
  if (!metadata.name) metadata.name = target.name;
  else if (metadata.name !== target.name) {
    throw badRequest(`the name of the object (${metadata.name}) does not match the name on the URL (${target.name})`);
  }
}
