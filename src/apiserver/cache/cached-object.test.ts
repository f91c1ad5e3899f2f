import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAsStored, metadataOf, storedLength, withoutRevision, withRevision } from './bytes.ts';
import { PlacedObject, storedObject, watchFrame } from './cached-object.ts';

const POD = '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"ns","labels":{"x":"y"}},"spec":{}}';

function object(text = POD, revision = 42): ReturnType<typeof storedObject> {
  return storedObject({ key: '/registry/pods/ns/a', value: Buffer.from(text), revision });
}

test('the revision is put in as the first member of the metadata', () => {
  const text = (stored: string): string => withRevision(Buffer.from(stored), 1234).toString();
  assert.equal(text(POD), POD.replace('"metadata":{', '"metadata":{"resourceVersion":"1234",'));
  assert.equal(text('{"metadata":{}}'), '{"metadata":{"resourceVersion":"1234"}}');
  const tricky = '{"kind":"\\"metadata\\":{","metadata":{"name":"é\u{1f600}"},"x":{"metadata":{"name":"b"}}}';
  assert.deepEqual(JSON.parse(text(tricky)), {
    kind: '"metadata":{',
    metadata: { resourceVersion: '1234', name: 'é\u{1f600}' },
    x: { metadata: { name: 'b' } },
  });
  assert.throws(() => text('["x"]'), /no object/);
});

test('the metadata alone is read without the rest, whatever its texts look like', () => {
  for (const metadata of [
    {},
    { name: 'a}', labels: { 'x{': '"}' }, annotations: { y: 'é\\\\"}{', '\\': '' } },
    { name: 'a', ownerReferences: [{ uid: '1' }, { uid: '}' }], generation: 1 },
  ]) {
    const text = JSON.stringify({ kind: 'Pod', metadata, spec: { metadata: { name: 'inner' } } });
    assert.deepEqual(JSON.parse(metadataOf(Buffer.from(text)).toString()), metadata);
  }
  for (const text of ['["x"]', '{"metadata":{"a":{}', '{"metadata":{"a":"}']) {
    assert.throws(() => metadataOf(Buffer.from(text)), /no object/);
  }
});

test('metadata is given without parsing the object, and without managedFields', () => {
  const stored = POD.replace('"labels"', '"managedFields":[{"manager":"m"}],"labels"');
  const one = new PlacedObject({ key: '/registry/pods/ns/a', value: Buffer.from(stored), revision: 42 }, 'ns');
  const expected = { resourceVersion: '42', name: 'a', namespace: 'ns', labels: { x: 'y' } };
  assert.deepEqual(one.metadata, expected);
  assert.equal(one.parsed, false);
  assert.equal(one.object.metadata.managedFields?.length, 1);
  assert.equal(one.metadata, one.object.metadata, 'what is parsed is shared');
});

test('an object is read without managedFields, which are read when somebody wants them', () => {
  const managedFields = [{ manager: 'm]}"', fieldsV1: { 'f:a': { 'k:{"name":"x"}': {} } } }, { manager: 'é' }];
  const template = { metadata: { name: 'inner', managedFields } };
  const spec = { template, text: ',"managedFields":[' };
  for (const metadata of [
    { name: 'a', managedFields },
    { name: 'a', labels: { 'x{': '"}]' }, managedFields, finalizers: ['f'] },
    { name: 'a', managedFields: [] },
    { managedFields, name: 'a' },
    { name: 'a' },
  ]) {
    const stored = JSON.stringify({ kind: 'Pod', metadata, spec });
    const whole = { kind: 'Pod', metadata: { resourceVersion: '42', ...metadata }, spec };
    const { managedFields: _, ...others } = whole.metadata;
    const readings: readonly (readonly ('object' | 'unmanaged')[])[] = [
      ['object', 'unmanaged'],
      ['unmanaged', 'object'],
    ];
    for (const order of readings) {
      const one = object(stored);
      for (const form of order) {
        assert.deepEqual(one[form], form === 'object' ? whole : { ...whole, metadata: others });
        assert.equal(one[form], one[form]);
      }
      const [read, bare] = [one.object, one.unmanaged] as { spec?: object }[];
      assert.equal(read?.spec, bare?.spec, 'they share the rest');
    }
  }
});

test('what is left of an object that is history is made again', () => {
  const one = object(POD.replace('"labels"', '"managedFields":[{}],"labels"')) as PlacedObject;
  const before = one.unmanaged;
  one.release();
  assert.equal(one.parsed, false);
  assert.notEqual(one.unmanaged, before);
  assert.deepEqual(one.unmanaged, before);
});

test('without the revision the bytes are as they were stored', () => {
  for (const stored of [POD, '{"metadata":{}}', '{"metadata":{"name":"é\u{1f600}"},"x":{"metadata":{}}}']) {
    assert.equal(withoutRevision(withRevision(Buffer.from(stored), 1234), 1234).toString(), stored);
  }
  assert.throws(() => withoutRevision(withRevision(Buffer.from(POD), 1234), 123), /another revision/);
});

test('bytes with their revision are told from others without making a copy', () => {
  const bytes = withRevision(Buffer.from(POD), 1234);
  const is = (text: string): boolean => isAsStored(bytes, 1234, Buffer.from(text));
  assert.equal(storedLength(bytes, 1234), POD.length);
  assert.equal(is(POD), true);
  assert.equal(is(POD.replace('"a"', '"b"')), false, 'behind the revision');
  assert.equal(is(POD.replace('Pod', 'Pox')), false, 'before the revision');
  assert.equal(is(`${POD} `), false);
  assert.equal(isAsStored(bytes, 123, Buffer.from(POD)), false, 'of another revision');
});

test('an object as of another revision differs in that alone, whether it was read before or not', () => {
  for (const read of [false, true]) {
    const placed = new PlacedObject({ key: '/registry/pods/ns/a', value: Buffer.from(POD), revision: 42 }, 'ns');
    if (read) assert.equal(placed.object.metadata.resourceVersion, '42');
    const later = placed.asOf(1000);
    assert.equal(later.bytes.toString(), withRevision(Buffer.from(POD), 1000).toString());
    assert.deepEqual([later.namespace, later.name, later.revision], ['ns', 'a', 1000]);
    assert.equal(placed.bytes.toString(), withRevision(Buffer.from(POD), 42).toString());
  }
});

test('what was derived from an object that is let go is made again when it is asked for', () => {
  const cached = storedObject({ key: '/registry/pods/ns/a', value: Buffer.from(POD), revision: 42 }) as PlacedObject;
  const { object: before } = cached;
  cached.release();
  assert.equal(cached.parsed, false);
  assert.notEqual(cached.object, before);
  assert.deepEqual(cached.object, before);
});

test('bytes and object are made once and agree', () => {
  const cached = object();
  assert.equal(cached.object.metadata.resourceVersion, '42');
  assert.equal(cached.namespace, 'ns');
  assert.equal(cached.name, 'a');
  assert.equal(cached.bytes, cached.bytes);
  assert.equal(cached.object, cached.object);
  assert.deepEqual(JSON.parse(cached.bytes.toString()), cached.object);
});

test('a change of a shared object throws under test', () => {
  const { labels } = object().object.metadata;
  assert.throws(() => Object.assign(labels!, { x: 'z' }), TypeError);
});

test('derived forms are made once, also when they are undefined', () => {
  const cached = object();
  let made = 0;
  for (let i = 0; 3 > i; i++) cached.derived('nothing', () => void made++);
  assert.equal(made, 1);
});

test('a watch frame is one line, shared by all watchers of a type of change', () => {
  const cached = object();
  const added = watchFrame({ type: 'ADDED', object: cached, revision: 42 });
  assert.equal(added.toString(), `{"type":"ADDED","object":${cached.bytes}}\n`);
  assert.equal(watchFrame({ type: 'ADDED', object: cached, revision: 42 }), added);
  assert.match(watchFrame({ type: 'MODIFIED', object: cached, revision: 42 }).toString(), /^{"type":"MODIFIED",/);
});
