// The same writes leave the same managedFields behind as with upstream's API server (scripts/record-managed-fields.ts).
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ManagedFieldsEntry } from '../../api/generated/types.ts';
import type { KubeObject } from '../../api/object.ts';
import { apiVersionOf } from '../../api/tables.ts';
import {
  difference,
  type FieldSet,
  pathsOf,
  recursiveDifference,
  setOfPaths,
  union,
} from '../../machinery/field-sets/field-set.ts';
import { printPath } from '../../machinery/field-sets/path-element.ts';
import { reconcileSet } from '../../machinery/field-sets/reconcile.ts';
import type { FieldSchema } from '../../machinery/field-sets/schema.ts';
import { fieldSchemaOf } from '../../machinery/field-sets/table-schema.ts';
import { applyMergePatch } from '../../machinery/patch/merge.ts';
import { StatusError } from '../../machinery/status.ts';
import { type TestRegistry, testRegistry } from './test-registry.ts';
import recorded from './testdata/managed-fields.json' with { type: 'json' };
import { MANAGED_WRITES, type ManagedWrite, NAMESPACE } from './testdata/managed-writes.ts';

interface Outcome {
  readonly managedFields?: readonly ManagedFieldsEntry[];
  readonly code?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly causes?: readonly object[] | undefined;
}

const PATCH_TYPES = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
  force: 'application/apply-patch+yaml',
} as const;

async function perform(registry: TestRegistry, write: ManagedWrite): Promise<Outcome> {
  const { how, name, manager: fieldManager, resource } = write;
  const { resource: row } = registry.target(resource);
  const namespace = row.namespaced ? NAMESPACE : undefined;
  const named = {
    apiVersion: apiVersionOf(row),
    kind: row.kind,
    metadata: { name, ...(namespace !== undefined && { namespace }) },
  };
  const whole = (): object => applyMergePatch<object>(named, write.body);
  const options = { fieldManager };
  const target = registry.target(resource, namespace, name);
  try {
    if (how === 'create') {
      const collection = registry.target(resource, namespace);
      const body = registry.body(collection, whole());
      return outcome((await registry.api.create(registry.ctx(), collection, body, options)).object.object);
    }
    if (how === 'put') {
      const present = await registry.get(resource, name, namespace);
      const body = registry.body(target, applyMergePatch<object>(present, write.body));
      return outcome((await registry.api.update(registry.ctx(), target, body, options)).object.object);
    }
    const body = how === 'apply' || how === 'force' ? whole() : write.body;
    const patch = { type: PATCH_TYPES[how], body: structuredClone(body), ...(how === 'force' && { force: true }) };
    return outcome((await registry.api.patch(registry.ctx(), target, patch, options)).object.object);
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    const { code, reason, message, details } = error;
    return { code, reason, message, causes: details?.causes };
  }
}

function outcome(object: KubeObject): Outcome {
  return { managedFields: object.metadata.managedFields ?? [] };
}

/** Upstream of then did not tell entries of subresources from others, and more was granular. */
function comparable({ managedFields, ...rest }: Outcome, schema: FieldSchema, ignored: FieldSet): unknown {
  if (!managedFields) return rest;
  const byManager: { [manager: string]: FieldSet } = {};
  for (const { manager, operation, apiVersion, fieldsV1 = {} } of managedFields) {
    const who = `${manager} ${operation} ${apiVersion}`;
    const fields = recursiveDifference(reconcileSet(schema, fieldsV1 as unknown as FieldSet), ignored);
    byManager[who] = union(byManager[who] ?? {}, fields);
  }
  return Object.fromEntries(Object.entries(byManager).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Fields that upstream of then had not, or did not default. */
const NEWER = setOfPaths(
  [
    'internalTrafficPolicy',
    'persistentVolumeClaimRetentionPolicy',
    'completionMode',
    'suspend',
    'podReplacementPolicy',
    'manualSelector',
  ].map((name) => ['f:spec', `f:${name}`]),
);
/** Of a new object it took the status that is then thrown away for a thing to manage. */
const NEWER_ON_CREATE = union(NEWER, setOfPaths([['f:status']]));

/** What one server says and the other does not, for people. */
function explain(ours: unknown, theirs: unknown): string {
  const [mine, peer] = [ours, theirs] as { [manager: string]: FieldSet }[];
  if ([mine, peer].some((of) => of && 'code' in of)) return JSON.stringify([ours, theirs]);
  const lines: string[] = [];
  for (const who of new Set([...Object.keys(mine ?? {}), ...Object.keys(peer ?? {})])) {
    if (typeof mine![who] !== 'object' || typeof peer![who] !== 'object') continue;
    for (const path of pathsOf(difference(mine![who], peer![who]))) lines.push(`${who}: ours only ${printPath(path)}`);
    for (const path of pathsOf(difference(peer![who], mine![who])))
      lines.push(`${who}: theirs only ${printPath(path)}`);
  }
  return lines.join('\n') || JSON.stringify([ours, theirs]);
}

const GOLDEN = recorded as unknown as { readonly [scenario: string]: readonly Outcome[] };

describe("managedFields are upstream's", () => {
  for (const [scenario, writes] of Object.entries(MANAGED_WRITES)) {
    test(scenario, async () => {
      const registry = await testRegistry();
      await registry.create('namespaces', { metadata: { name: NAMESPACE } });
      await registry.create('serviceaccounts', { metadata: { namespace: NAMESPACE, name: 'default' } });
      try {
        for (const [i, write] of writes.entries()) {
          const schema = fieldSchemaOf(registry.tables, registry.target(write.resource).resource.type);
          const ignored = write.how === 'create' ? NEWER_ON_CREATE : NEWER;
          const ours = comparable(await perform(registry, write), schema, ignored);
          const theirs = comparable(GOLDEN[scenario]![i]!, schema, ignored);
          const what = `${scenario} ${i}: ${write.how} ${write.resource} by ${write.manager}`;
          assert.deepEqual(ours, theirs, `${what}\n${explain(ours, theirs)}`);
          assert.equal(JSON.stringify(ours), JSON.stringify(theirs), `the order of ${what}`);
        }
      } finally {
        await registry.close();
      }
    });
  }
});
