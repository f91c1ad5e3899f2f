// Admission webhooks as their configurations name them, compiled once for each version of a configuration.
import type { MutatingWebhookConfiguration, ValidatingWebhookConfiguration } from '../../../api/generated/types.ts';
import type { KubeObject } from '../../../api/object.ts';
import { labelSelectorFromObject } from '../../../machinery/selector-parse.ts';
import type { WebhookConfig } from '../../webhooks/client.ts';
import type { AdmissionWorld } from '../plugin.ts';
import { type Conditions, compileConditions } from './conditions.ts';
import type { Criteria } from './matching.ts';
import { knownReviewVersion, type ReviewVersion } from './review.ts';

export interface Hook extends Criteria {
  /** Configuration and name: what it is known by among all. */
  readonly id: string;
  readonly name: string;
  readonly client: WebhookConfig;
  /** A webhook that cannot be asked refuses the request (else it is passed over). */
  readonly failsClosed: boolean;
  readonly conditions: Conditions;
  /** May be asked on dry run. */
  readonly harmless: boolean;
  readonly timeoutMs: number;
  readonly reviewVersion: ReviewVersion;
  /** Asked again when a later webhook changed the object. */
  readonly reinvoked: boolean;
}

type Configuration = MutatingWebhookConfiguration | ValidatingWebhookConfiguration;
type Webhook = NonNullable<MutatingWebhookConfiguration['webhooks']>[number];

const GROUP = 'admissionregistration.k8s.io';
const DEFAULT_TIMEOUT_SECONDS = 10;

/** Cached objects are never changed: a new version is a new object. */
const compiled = new WeakMap<KubeObject, readonly Hook[]>();

/** Every webhook of these configurations, in their order: configurations by name, then as written. */
export function hooksOf(
  world: AdmissionWorld,
  resource: 'mutatingwebhookconfigurations' | 'validatingwebhookconfigurations',
): readonly Hook[] {
  const configurations = world.list(GROUP, resource);
  if (configurations.length === 0) return [];
  return configurations.flatMap((configuration) => {
    let hooks = compiled.get(configuration);
    if (!hooks) {
      hooks = compile(configuration as Configuration);
      compiled.set(configuration, hooks);
    }
    return hooks;
  });
}

function compile({ metadata, webhooks = [] }: Configuration): readonly Hook[] {
  return (webhooks as readonly Webhook[]).map((hook) => ({
    id: `${metadata.name}/${hook.name}`,
    name: hook.name,
    client: hook.clientConfig as WebhookConfig,
    rules: hook.rules ?? [],
    failsClosed: hook.failurePolicy !== 'Ignore',
    equivalent: hook.matchPolicy !== 'Exact',
    namespaces: labelSelectorFromObject(hook.namespaceSelector ?? {}),
    objects: labelSelectorFromObject(hook.objectSelector ?? {}),
    conditions: compileConditions(hook.matchConditions ?? []),
    harmless: hook.sideEffects === 'None' || hook.sideEffects === 'NoneOnDryRun',
    timeoutMs: (hook.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1000,
    reviewVersion: knownReviewVersion(hook.admissionReviewVersions) ?? 'v1',
    reinvoked: hook.reinvocationPolicy === 'IfNeeded',
  }));
}
