import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeObject } from '../../api/object.ts';
import type { Resource } from '../../api/tables.ts';
import { ConversionFailed, withConversions } from './awaited-conversions.ts';
import type { ConvertByWebhook } from './shown.ts';

const row = (version: string): Resource =>
  ({ group: 'g', version, kind: 'Box', custom: { definition: 'boxes.g' } }) as unknown as Resource;
const [V1, V2, V3] = [row('v1'), row('v2'), row('v3')];
const box = (name: string): KubeObject =>
  ({ apiVersion: 'g/v1', kind: 'Box', metadata: { name, managedFields: [{}] } }) as unknown as KubeObject;
const NEVER = new AbortController().signal;

/** A webhook that says which version an object was written in last; what it was asked is kept. */
function webhook() {
  const asked: string[] = [];
  const convertByWebhook: ConvertByWebhook = async (_, [object], apiVersion) => {
    asked.push(`${object!.metadata.name} ${apiVersion} ${object!.metadata.managedFields === undefined}`);
    return [{ ...object!, apiVersion }];
  };
  return { asked, convertByWebhook };
}

test('a decision has what it asks for, each once, without the managers, and nothing for what is there', async () => {
  const { asked, convertByWebhook } = webhook();
  const [a, b] = [box('a'), box('b')];
  let runs = 0;
  const said = await withConversions(
    { convertByWebhook },
    V1,
    (convert) => {
      runs++;
      const versions = [
        convert(a, V2),
        convert(b, V3),
        convert(a, V3),
        convert(a, V2),
        convert(a, V1),
        convert({}, V2),
      ];
      return versions.map((one) => (one as Partial<KubeObject>).apiVersion);
    },
    NEVER,
  );
  assert.deepEqual(said, ['g/v2', 'g/v3', 'g/v3', 'g/v2', 'g/v1', undefined]);
  assert.deepEqual(asked, ['a g/v2 true', 'b g/v3 true', 'a g/v3 true']);
  assert.equal(runs, 4);
});

test('a decision that asks without end fails by itself', async () => {
  const { asked, convertByWebhook } = webhook();
  const endless = withConversions(
    { convertByWebhook },
    V1,
    (convert) => {
      for (;;) convert(box('a'), V2);
    },
    NEVER,
  );
  await assert.rejects(endless, ConversionFailed);
  assert.equal(asked.length, 1_000);
});

test('who goes away is not told that the webhook failed; others are, and a throw of the decision is its own', async () => {
  const gone = new AbortController();
  const convertByWebhook: ConvertByWebhook = async () => {
    gone.abort();
    throw new Error('no answer');
  };
  const decide = (convert: (object: object, to: Resource) => object): object => convert(box('a'), V2);
  await assert.rejects(withConversions({ convertByWebhook }, V1, decide, gone.signal), { name: 'AbortError' });
  await assert.rejects(withConversions({ convertByWebhook }, V1, decide, NEVER), (error: Error) => {
    return error instanceof ConversionFailed && error.message === 'no answer' && error.cause instanceof Error;
  });
  const refusal = new Error('in conflict');
  const refuses = (): never => {
    throw refusal;
  };
  await assert.rejects(withConversions({ convertByWebhook }, V1, refuses, NEVER), refusal);
});
