// Ownership against a deliberately naive twin: objects as maps from paths to values, managers as sets of paths.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { compileSchema } from '../../api/structural/schema.ts';
import { EMPTY_SET, pathsOf } from '../field-sets/field-set.ts';
import { printPath } from '../field-sets/path-element.ts';
import { DEDUCED } from '../field-sets/schema.ts';
import { structuralFields } from '../field-sets/structural.ts';
import { ApplyConflict } from './conflicts.ts';
import { fieldsOf, type ManagedFields } from './managed-fields.ts';
import { afterApply, afterUpdate, type FieldScope } from './ownership.ts';

const text = { type: 'string' };
const number = { type: 'integer' };
const texts = { type: 'object', additionalProperties: text };
const SCHEMA = structuralFields(
  compileSchema({
    type: 'object',
    properties: {
      replicas: number,
      labels: texts,
      selector: { ...texts, 'x-kubernetes-map-type': 'atomic' },
      args: { type: 'array', items: text },
      finalizers: { type: 'array', items: text, 'x-kubernetes-list-type': 'set' },
      items: {
        type: 'array',
        items: { type: 'object', properties: { name: text, value: number, port: number } },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
      },
      nested: { type: 'object', properties: { a: number, labels: texts } },
    },
  }),
  DEDUCED,
);
const SCOPE: FieldScope = {
  apiVersion: 'v1',
  schema: SCHEMA,
  ignored: EMPTY_SET,
  subresource: undefined,
  now: '2026-01-01T00:00:00Z',
  other: () => undefined,
};

/** More find more, slowly. */
const RUNS = 500;

interface Thing {
  readonly replicas?: number;
  readonly labels?: { readonly [key: string]: string };
  readonly selector?: { readonly [key: string]: string };
  readonly args?: readonly string[];
  readonly finalizers?: readonly string[];
  readonly items?: readonly { readonly name: string; readonly value?: number; readonly port?: number }[];
  readonly nested?: { readonly a?: number; readonly labels?: { readonly [key: string]: string } };
}

const small = fc.integer({ min: 1, max: 3 });
const word = fc.constantFrom('x', 'y', 'z');
const some = { requiredKeys: [] };
const filled = (of: fc.Arbitrary<object>) => of.filter((value) => Object.keys(value).length > 0);
const wordMap = filled(fc.dictionary(word, fc.constantFrom('1', '2'), { maxKeys: 3 }));
const thing = fc.record(
  {
    replicas: small,
    labels: wordMap,
    selector: wordMap,
    args: fc.array(word, { minLength: 1, maxLength: 2 }),
    finalizers: fc.uniqueArray(word, { minLength: 1 }),
    items: fc.uniqueArray(fc.record({ name: word, value: small, port: small }, { requiredKeys: ['name'] }), {
      minLength: 1,
      selector: (item) => item.name,
    }),
    nested: filled(fc.record({ a: small, labels: wordMap }, some)),
  },
  some,
) as fc.Arbitrary<Thing>;

const manager = fc.constantFrom('a', 'b', 'c');
const operation = fc.oneof(
  fc.record({ kind: fc.constant('update' as const), manager, thing }),
  fc.record({ kind: fc.constant('apply' as const), manager, thing, force: fc.boolean() }),
);

/** "container": holds others and is no value; "item": a list's item, which appliers own too. */
type Node = { readonly is: 'container' | 'item' } | { readonly is: 'leaf'; readonly value: string };

function flatten(object: Thing): Map<string, Node> {
  const nodes = new Map<string, Node>();
  const leaf = (path: string, value: unknown): unknown => nodes.set(path, { is: 'leaf', value: JSON.stringify(value) });
  const map = (path: string, of: { readonly [key: string]: string }): void => {
    nodes.set(path, { is: 'container' });
    for (const [key, value] of Object.entries(of)) leaf(`${path}.${key}`, value);
  };
  if (object.replicas !== undefined) leaf('.replicas', object.replicas);
  if (object.labels) map('.labels', object.labels);
  if (object.selector) leaf('.selector', Object.entries(object.selector).sort());
  if (object.args) leaf('.args', object.args);
  if (object.finalizers) {
    nodes.set('.finalizers', { is: 'container' });
    for (const one of object.finalizers) leaf(`.finalizers[="${one}"]`, one);
  }
  if (object.items) {
    nodes.set('.items', { is: 'container' });
    for (const item of object.items) {
      const path = `.items[name="${item.name}"]`;
      nodes.set(path, { is: 'item' });
      for (const [key, value] of Object.entries(item)) leaf(`${path}.${key}`, value);
    }
  }
  if (object.nested) {
    nodes.set('.nested', { is: 'container' });
    if (object.nested.a !== undefined) leaf('.nested.a', object.nested.a);
    if (object.nested.labels) map('.nested.labels', object.nested.labels);
  }
  return nodes;
}

const isBelow = (path: string, whole: string): boolean =>
  path.startsWith(whole) && path.length > whole.length && '.['.includes(path[whole.length]!);

type Owners = Map<string, Set<string>>;

class Twin {
  live = new Map<string, Node>();
  owners: Owners = new Map();

  update(manager: string, object: Thing): void {
    this.#readWholes();
    const after = flatten(object);
    const { changed, removed } = this.#changes(after);
    for (const owned of this.owners.values()) for (const path of changed.union(removed)) owned.delete(path);
    const mine = this.#of(`Update ${manager}`);
    for (const path of changed) mine.add(path);
    this.live = after;
    this.#dropEmpty();
  }

  /** Returns whether it was a conflict. */
  apply(manager: string, config: Thing, force: boolean): boolean {
    const owners = structuredClone(this.owners);
    this.#readWholes();
    const who = `Apply ${manager}`;
    const last = this.#of(who);
    const wanted = flatten(config);
    const owned = new Set([...wanted].filter(([, node]) => node.is !== 'container').map(([path]) => path));
    const others = [...this.owners].filter(([other]) => other !== who).map(([, paths]) => paths);
    const after = new Map([...this.live, ...wanted]);
    for (const path of last) {
      if (owned.has(path) || others.some((paths) => paths.has(path))) continue;
      for (const one of [...after.keys()]) if (one === path || isBelow(one, path)) after.delete(one);
    }
    for (const [path, node] of [...after].reverse()) {
      const empty = node.is === 'container' && ![...after.keys()].some((one) => isBelow(one, path));
      if (empty) after.delete(path);
    }
    const { changed, removed } = this.#changes(after);
    if (!force && others.some((paths) => !paths.isDisjointFrom(changed))) {
      this.owners = owners;
      return true;
    }
    // What somebody has as a whole is left behind empty: it stays theirs.
    const gone = [...removed].filter((path) => this.live.get(path)?.is !== 'container');
    for (const paths of others) for (const path of changed.union(new Set(gone))) paths.delete(path);
    this.owners.set(who, owned);
    this.live = after;
    this.#dropEmpty();
    return false;
  }

  #changes(after: Map<string, Node>): { changed: Set<string>; removed: Set<string> } {
    const changed = new Set<string>();
    for (const [path, node] of after) {
      if (JSON.stringify(this.live.get(path)) !== JSON.stringify(node)) changed.add(path);
    }
    return { changed, removed: new Set([...this.live.keys()].filter((path) => !after.has(path))) };
  }

  /** Who has a container and nothing in it has all that is in it. */
  #readWholes(): void {
    for (const owned of this.owners.values()) {
      for (const path of [...owned]) {
        const node = this.live.get(path);
        if (!node || node.is === 'leaf' || [...owned].some((one) => isBelow(one, path))) continue;
        for (const [one, below] of this.live) if (isBelow(one, path) && below.is !== 'container') owned.add(one);
      }
    }
  }

  #of(who: string): Set<string> {
    const owned = this.owners.get(who) ?? new Set<string>();
    this.owners.set(who, owned);
    return owned;
  }

  #dropEmpty(): void {
    for (const [who, owned] of this.owners) if (owned.size === 0) this.owners.delete(who);
  }
}

/** As decoding would have it. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (typeof value !== 'object' || value === null) return value;
  const kept = Object.entries(value)
    .map(([key, member]) => [key, withoutEmpty(member)] as const)
    .filter(([, member]) => member !== null && !(typeof member === 'object' && Object.keys(member).length === 0));
  return Object.fromEntries(kept);
}

function ownersOf(managed: ManagedFields): Owners {
  return new Map(
    managed.map((entry) => [
      `${entry.operation} ${entry.manager}`,
      new Set(pathsOf(fieldsOf(entry)).map((path) => printPath(path))),
    ]),
  );
}

const sorted = (owners: Owners): unknown => [...owners].map(([who, paths]) => [who, [...paths].sort()]).sort();

describe('ownership', () => {
  test('is what the twin says, whatever managers do', () => {
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 8 }), (operations) => {
        const twin = new Twin();
        let live: Thing = {};
        let managed: ManagedFields = [];
        for (const step of operations) {
          if (step.kind === 'update') {
            managed = afterUpdate(SCOPE, live, step.thing, managed, step.manager);
            live = step.thing;
            twin.update(step.manager, step.thing);
          } else {
            const { manager, thing: config, force } = step;
            let refused = false;
            try {
              const applied = afterApply(SCOPE, live, managed, { config, manager, force });
              managed = applied.managed;
              live = withoutEmpty(applied.object ?? live) as Thing;
            } catch (error) {
              if (!(error instanceof ApplyConflict)) throw error;
              refused = true;
            }
            assert.equal(twin.apply(manager, config, force), refused, JSON.stringify(step));
          }
          assert.deepEqual(sorted(ownersOf(managed)), sorted(twin.owners), JSON.stringify(step));
          assert.deepEqual([...flatten(live)].sort(), [...twin.live].sort(), JSON.stringify(step));
        }
      }),
      { numRuns: RUNS },
    );
  });
});
