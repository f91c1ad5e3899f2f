import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Node, Pod } from '../api/generated/types.ts';
import { NODE_STAGES, type NodeFacts, newNode } from './node-stages.ts';
import { isMissingImage, POD_STAGES, type PodFacts } from './pod-stages.ts';
import { nextStage, type Stage } from './stage.ts';

interface Golden<F> {
  readonly facts: F;
  readonly cases: readonly {
    readonly title: string;
    readonly pod?: Pod;
    readonly node?: Node;
    readonly stage: string | null;
    readonly afterMs: number | null;
    readonly outcome: object | null;
  }[];
}

function golden<F>(file: string): Golden<F> {
  return JSON.parse(readFileSync(new URL(`./testdata/${file}`, import.meta.url), 'utf8')) as Golden<F>;
}

/** What is left of an answer when it has travelled as JSON. */
const sent = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

function check<T, F>(stages: readonly Stage<T, F>[], facts: F, state: T, wanted: Golden<F>['cases'][number]): void {
  const stage = nextStage(stages, state, facts);
  assert.equal(stage?.name ?? null, wanted.stage);
  if (!stage) return;
  assert.equal(stage.afterMs?.(state, facts) ?? 0, wanted.afterMs);
  assert.deepEqual(sent(stage.next(state, facts)), wanted.outcome);
}

const pods = golden<PodFacts>('pod-stages.json');
for (const each of pods.cases) {
  test(`pod: ${each.title}`, () => check(POD_STAGES, pods.facts, each.pod!, each));
}

const nodes = golden<NodeFacts>('node-stages.json') as Golden<NodeFacts> & { readonly registered: object };
for (const each of nodes.cases) {
  test(`node: ${each.title}`, () => check(NODE_STAGES, nodes.facts, each.node!, each));
}

test('a node registers with capacity, conditions and addresses', () => {
  assert.deepEqual(sent(newNode(nodes.facts)), nodes.registered);
});

test('images that do not exist', () => {
  for (const image of ['a:nonexistent', 'a/b:404', 'host:5000/a:non-existent', 'nonexistent/a', 'a-nonexistent:1']) {
    assert.ok(isMissingImage(image), image);
  }
  for (const image of ['a', 'a:1', 'host:404/a', 'a404:1']) {
    assert.ok(!isMissingImage(image), image);
  }
});
