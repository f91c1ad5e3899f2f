// Custom resources written as another version by the webhook that their definition names (ConversionReview, v1).
import type { CustomResourceDefinition } from '../../api/generated/types.ts';
import { sameJson } from '../../api/json.ts';
import type { KubeObject } from '../../api/object.ts';
import { type Random, uuid } from '../../lib/random.ts';
import { StatusError } from '../../machinery/status.ts';
import type { ConvertByWebhook } from '../registry/shown.ts';
import type { CallWebhook, WebhookConfig } from '../webhooks/client.ts';

export interface ConversionOptions {
  readonly call: CallWebhook;
  /** The definition as the server knows it now. */
  readonly definition: (name: string) => CustomResourceDefinition | undefined;
  readonly random: Random;
}

const TIMEOUT_MS = 30_000;
/** Objects of one review: a long list is not one stretch of writing and reading, and no answer grows without end. */
const OBJECTS_PER_REVIEW = 250;

interface Review {
  readonly response?: {
    readonly uid?: string;
    readonly result?: { readonly status?: string; readonly message?: string };
    readonly convertedObjects?: readonly KubeObject[];
  };
}

export function conversionByWebhook({ call, definition, random }: ConversionOptions): ConvertByWebhook {
  const convert: ConvertByWebhook = async (name, objects, apiVersion, signal) => {
    const found = definition(name);
    const config = found?.spec.conversion?.webhook?.clientConfig as WebhookConfig | undefined;
    const subject = `${apiVersion}, Kind=${objects[0]?.kind ?? ''}`;
    const fail = (why: string, cause?: unknown): never => {
      throw new StatusError('InternalError', `conversion webhook for ${subject} failed: ${why}`, undefined, { cause });
    };
    if (!config) return fail('the definition names no webhook');
    const uid = uuid(random);
    const review = {
      kind: 'ConversionReview',
      apiVersion: 'apiextensions.k8s.io/v1',
      request: { uid, desiredAPIVersion: apiVersion, objects },
    };
    const answer = await call(config, review, { timeoutMs: TIMEOUT_MS, signal }).catch((error) => {
      signal.throwIfAborted();
      return fail((error as Error).message, error);
    });
    const { response } = (answer ?? {}) as Review;
    if (!response) return fail('conversion webhook response is empty');
    if (response.uid !== uid)
      fail(`expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid ?? '')}`);
    if (response.result?.status !== 'Success') fail(response.result?.message || 'Internal error');
    const converted = response.convertedObjects ?? [];
    if (converted.length !== objects.length) {
      fail(`webhook returned ${converted.length} objects, expected ${objects.length}`);
    }
    return converted.map((one, i) => checked(one, objects[i]!, apiVersion, fail));
  };
  return async (name, objects, apiVersion, signal) => {
    const converted: KubeObject[] = [];
    for (let i = 0; i < objects.length; i += OBJECTS_PER_REVIEW) {
      converted.push(...(await convert(name, objects.slice(i, i + OBJECTS_PER_REVIEW), apiVersion, signal)));
    }
    return converted;
  };
}

/** A converted object with the metadata of the original: a webhook may change labels and annotations only. */
function checked(
  converted: KubeObject,
  original: KubeObject,
  apiVersion: string,
  fail: (why: string) => never,
): KubeObject {
  if (converted.apiVersion !== apiVersion) {
    return fail(`invalid converted object: apiVersion is ${converted.apiVersion}, expected ${apiVersion}`);
  }
  if (converted.kind !== original.kind) {
    return fail(`invalid converted object: kind is ${converted.kind}, expected ${original.kind}`);
  }
  const { labels, annotations, ...rest } = converted.metadata ?? {};
  const { labels: _l, annotations: _a, ...before } = original.metadata;
  for (const member of ['name', 'namespace', 'uid'] as const) {
    if (!sameJson(rest[member], before[member])) return fail(`metadata.${member} must be immutable`);
  }
  return { ...converted, metadata: { ...before, ...(labels && { labels }), ...(annotations && { annotations }) } };
}
