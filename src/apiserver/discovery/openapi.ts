// OpenAPI documents, made when they are asked for and kept until the resources change.
import { createHash } from 'node:crypto';
import { apiVersionOf, type Tables } from '../../api/tables.ts';
import { openApiOf } from './openapi-paths.ts';
import { openApi2AsProtobuf } from './openapi-protobuf.ts';
import { OPENAPI_2, OPENAPI_3, type Schema } from './openapi-schemas.ts';
import { madeFromResources, type ServedVersion, servedGroups } from './served-groups.ts';

const SECURITY = {
  BearerToken: { description: 'Bearer Token authentication', name: 'authorization', in: 'header', type: 'apiKey' },
};

export interface OpenApi {
  /** /openapi/v3: where each group's document is. */
  index(): object;
  /** The document of "api/v1" or "apis/apps/v1", with its hash; undefined: there is none. */
  document(path: string): { readonly hash: string; readonly body: Buffer } | undefined;
  /** The whole API as one OpenAPI v2 document. */
  version2(): Buffer;
  /** The same in protobuf. */
  version2Protobuf(): Buffer;
}

export function createOpenApi(tables: Tables, gitVersion: string): OpenApi {
  const info = { title: 'Kubernetes', version: gitVersion };
  const current = madeFromResources(tables, () => {
    const versions = new Map<string, { served: ServedVersion; hash: string; body?: Buffer }>();
    for (const group of servedGroups(tables)) {
      for (const served of group.versions) {
        const path = `${served.group === '' ? 'api' : 'apis'}/${apiVersionOf(served)}`;
        versions.set(path, { served, hash: hashOf(gitVersion, served) });
      }
    }
    return { versions, version2: undefined as Buffer | undefined, protobuf: undefined as Buffer | undefined };
  });
  const version2 = (): Schema => {
    const { paths, schemas } = openApiOf(tables, [...tables.resources()], OPENAPI_2);
    return { swagger: '2.0', info, paths, definitions: schemas, securityDefinitions: SECURITY };
  };
  return {
    index() {
      const paths = [...current().versions].map(([path, { hash }]) => {
        return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
      });
      return { paths: Object.fromEntries(paths) };
    },
    document(path) {
      const entry = current().versions.get(path);
      if (!entry) return undefined;
      if (!entry.body) {
        const { paths, schemas } = openApiOf(tables, entry.served.resources, OPENAPI_3);
        const document = { openapi: '3.0.0', info, paths, components: { schemas, securitySchemes: SECURITY } };
        entry.body = Buffer.from(JSON.stringify(document));
      }
      return { hash: entry.hash, body: entry.body };
    },
    version2() {
      const state = current();
      state.version2 ??= Buffer.from(JSON.stringify(version2()));
      return state.version2;
    },
    version2Protobuf() {
      const state = current();
      state.protobuf ??= openApi2AsProtobuf(version2());
      return state.protobuf;
    },
  };
}

/** Types belong to the program's version; what can change at run time is which resources there are, and custom ones' schemas. */
function hashOf(gitVersion: string, served: ServedVersion): string {
  const hash = createHash('sha256').update(gitVersion);
  for (const { subresources, ...row } of served.resources) hash.update(JSON.stringify([row, [...subresources]]));
  return hash.digest('hex').toUpperCase();
}
