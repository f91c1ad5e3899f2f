import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileSchema } from '../../api/structural/schema.ts';
import { Tables } from '../../api/tables.ts';
import { createOpenApi } from './openapi.ts';

test('a document in the making is made again when a definition goes', async () => {
  const tables = new Tables();
  const like = tables.resource('', 'v1', 'configmaps')!;
  const type = 'com.example.v1.Tree';
  const row = { ...like, group: 'example.com', resource: 'trees', singular: 'tree', kind: 'Tree', type };
  const schema = compileSchema({ type: 'object', properties: { height: { type: 'integer' } } });
  const gvk = [['example.com', 'v1', 'Tree']] as const;
  tables.addType({ ...tables.type(like.type), name: type, structural: schema, gvk });
  tables.addResource(row);
  const openApi = createOpenApi(tables, 'v1.36.0');
  const read = async (): Promise<string> => {
    const body = (await openApi.version2()).body as { plain: Buffer };
    return body.plain.toString('utf8');
  };
  const asked = read();
  tables.removeResource(row);
  tables.removeType(type);
  const text = await asked;
  assert.ok(!text.includes(type));
  assert.equal(text, await read());
});
