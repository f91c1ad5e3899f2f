// Custom resources in the version that is asked for. Stored objects may be of another version, and of a time when the schema
// had other defaults: what is shown has the asked version's defaults and nothing that its schema does not name.
import { cloneJson, sameJson } from '../../api/json.ts';
import type { Draft, KubeObject } from '../../api/object.ts';
import { applySchemaDefaults } from '../../api/structural/default.ts';
import { prune } from '../../api/structural/prune.ts';
import { apiVersionOf, type CustomFacts, type Resource } from '../../api/tables.ts';
import { inSlices } from '../../lib/turns.ts';
import { StatusError } from '../../machinery/status.ts';
import type { CachedObject } from '../contract.ts';
import { AnswerObject } from './answer-object.ts';

/** Writes objects of a definition as another version, in their order; refuses with a StatusError. */
export type ConvertByWebhook = (
  definition: string,
  objects: readonly KubeObject[],
  apiVersion: string,
  signal: AbortSignal,
) => Promise<readonly KubeObject[]>;

/** Where conversions come from; a server without any refuses those that need a webhook. */
export interface Conversions {
  readonly convertByWebhook?: ConvertByWebhook;
}

/** Objects written as another version in one slice: a millisecond or two. */
const SHOWN_PER_SLICE = 30;

type CustomResource = Resource & { readonly custom: CustomFacts };

/** Every form of an object is made once, for as long as the row that asks for it is served. */
const formsOf = (cached: CachedObject): WeakMap<Resource, CachedObject> =>
  cached.derived('custom', () => new WeakMap());

/** An object as `asked` shows it; undefined when a webhook has to be asked first. */
export function shownNow(cached: CachedObject, asked: CustomResource): CachedObject | undefined {
  const forms = formsOf(cached);
  const known = forms.get(asked);
  if (known) return known;
  const differs = cached.object.apiVersion !== apiVersionOf(asked);
  if (differs && asked.custom.convertsByWebhook) return undefined;
  const made = formOf(cached, cached.object, asked);
  forms.set(asked, made);
  return made;
}

function formOf(cached: CachedObject, object: KubeObject, asked: CustomResource): CachedObject {
  const { schema } = asked.custom;
  const copy = cloneJson(object) as Draft<KubeObject>;
  copy.apiVersion = apiVersionOf(asked);
  applySchemaDefaults(schema, copy);
  prune(schema, copy);
  return sameJson(copy, cached.object) ? cached : new AnswerObject(copy as KubeObject, cached);
}

/** Objects as `asked` shows them, in their order. Those that need it go through the webhook together. */
export async function shown(
  conversions: Conversions,
  items: readonly CachedObject[],
  asked: CustomResource,
  signal: AbortSignal,
): Promise<CachedObject[]> {
  const forms: (CachedObject | undefined)[] = [];
  await inSlices(items, SHOWN_PER_SLICE, (item) => {
    forms.push(shownNow(item, asked));
    return 1;
  });
  const others = items.filter((_, i) => forms[i] === undefined);
  if (others.length === 0) return forms as CachedObject[];
  const objects = others.map((item) => item.object);
  const converted = await byWebhook(conversions, objects, asked, apiVersionOf(asked), signal);
  for (const [i, item] of others.entries()) formsOf(item).set(asked, formOf(item, converted[i]!, asked));
  return items.map((item) => formsOf(item).get(asked)!);
}

/** An object of `row`'s version as it is stored. */
export async function inStorageVersion(
  conversions: Conversions,
  object: Draft<KubeObject>,
  row: CustomResource,
  signal: AbortSignal,
): Promise<Draft<KubeObject>> {
  const { storageVersion, convertsByWebhook } = row.custom;
  if (row.version === storageVersion) return object;
  const apiVersion = `${row.group}/${storageVersion}`;
  if (!convertsByWebhook) return { ...object, apiVersion };
  const [converted] = await byWebhook(conversions, [object as KubeObject], row, apiVersion, signal);
  return cloneJson(converted) as Draft<KubeObject>;
}

function byWebhook(
  { convertByWebhook }: Conversions,
  objects: readonly KubeObject[],
  { custom }: CustomResource,
  apiVersion: string,
  signal: AbortSignal,
): Promise<readonly KubeObject[]> {
  if (convertByWebhook) return convertByWebhook(custom.definition, objects, apiVersion, signal);
  throw new StatusError('InternalError', `conversion webhook for ${custom.definition}: this server asks no webhooks`);
}

/** Whether a row is a custom resource's. */
export function isCustom(row: Resource): row is CustomResource {
  return row.custom !== undefined;
}
