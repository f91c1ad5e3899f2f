// Decisions that are pure but for objects that only a webhook can write in another version.
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf, type Resource } from '../../api/tables.ts';
import { invariant } from '../../lib/assert.ts';
import { StatusError } from '../../machinery/status.ts';
import { type Conversions, isCustom } from './shown.ts';

/** `object` as `to` has it; the answer is not changed by anybody. */
export type ConvertNow = (object: object, to: Resource) => object;

/** What a webhook did not do. `cause` is why. */
export class ConversionFailed extends StatusError {}

/** Conversions of one decision: each other version asks for a handful. A definition may have any number of versions. */
const MAX_CONVERSIONS = 1_000;

/** Thrown where a decision cannot go on before an object is there in another version. */
class Wanted {
  readonly object: object;
  readonly to: Resource;
  constructor(object: object, to: Resource) {
    this.object = object;
    this.to = to;
  }
}

/**
 * What `decide` says once it has every conversion that it asks for. It is run again after each one, so it must be pure: it
 * asks for the same ones in the same order every time. A refusal of the webhook is ConversionFailed.
 */
export async function withConversions<T>(
  conversions: Conversions,
  resource: Resource,
  decide: (convert: ConvertNow) => T,
  signal: AbortSignal,
): Promise<T> {
  const done: object[] = [];
  for (;;) {
    try {
      return decide(replay(done));
    } catch (error) {
      if (!(error instanceof Wanted)) throw error;
      if (done.length >= MAX_CONVERSIONS) {
        const message = `more than ${MAX_CONVERSIONS} conversions of one ${resource.kind} were asked for`;
        throw new ConversionFailed('InternalError', message);
      }
      done.push(await converted(conversions, resource, error, signal));
    }
  }
}

/** Answers from `done`, in the order in which it was asked; of one object only once for each version. */
function replay(done: readonly object[]): ConvertNow {
  const known = new Map<object, Map<Resource, object>>();
  let next = 0;
  return (object, to) => {
    const { apiVersion, metadata } = object as Partial<KubeObject>;
    // Nothing is nothing in every version.
    if (metadata === undefined || apiVersion === apiVersionOf(to)) return object;
    const versions = known.get(object) ?? new Map<Resource, object>();
    const answer = versions.get(to) ?? done[next++];
    if (answer === undefined) throw new Wanted(object, to);
    known.set(object, versions.set(to, answer));
    return answer;
  };
}

async function converted(
  { convertByWebhook }: Conversions,
  resource: Resource,
  { object, to }: Wanted,
  signal: AbortSignal,
): Promise<object> {
  invariant(isCustom(resource), 'only custom resources are converted by webhooks');
  const { managedFields: _, ...metadata } = (object as KubeObject).metadata;
  const bare = { ...object, metadata } as KubeObject;
  try {
    if (!convertByWebhook) throw new Error('this server asks no webhooks');
    return (await convertByWebhook(resource.custom.definition, [bare], apiVersionOf(to), signal))[0]!;
  } catch (error) {
    signal.throwIfAborted();
    throw new ConversionFailed('InternalError', (error as Error).message, undefined, { cause: error });
  }
}
