// OpenAPI documents, made when they are asked for and kept until the resources change.
import { createHash } from 'node:crypto';
import { apiVersionOf, type Tables } from '../../api/tables.ts';
import type { ListBody } from '../http/list-bodies.ts';
import type { Descriptions } from './descriptions.ts';
import { openApiOf } from './openapi-paths.ts';
import { openApi2AsProtobuf } from './openapi-protobuf.ts';
import { OPENAPI_2, OPENAPI_3, type Schema } from './openapi-schemas.ts';
import { madeFromResources, type ServedVersion, servedGroups } from './served-groups.ts';

const SECURITY = {
  BearerToken: { description: 'Bearer Token authentication', name: 'authorization', in: 'header', type: 'apiKey' },
};

/** A document, made once for all who ask, and the hash of what it was made from. Compressing it is left to who sends it. */
export interface OpenApiDocument {
  readonly hash: string;
  readonly body: ListBody;
}

export interface OpenApi {
  /** /openapi/v3: where each group's document is. */
  index(others?: readonly { readonly group: string; readonly version: string }[]): object;
  /** The hash of the document of "api/v1" or "apis/apps/v1"; undefined: there is none. */
  hashOf(path: string): string | undefined;
  document(path: string): Promise<OpenApiDocument | undefined>;
  /** Of the whole API. */
  version2Hash(): string;
  /** The whole API as one OpenAPI v2 document. */
  version2(): Promise<OpenApiDocument>;
  /** The same in protobuf. */
  version2Protobuf(): Promise<OpenApiDocument>;
}

interface Entry {
  readonly served: ServedVersion;
  readonly hash: string;
  body?: Promise<ListBody>;
}

interface State {
  readonly versions: ReadonlyMap<string, Entry>;
  readonly hash: string;
  version2?: Promise<ListBody>;
  protobuf?: Promise<ListBody>;
}

/** To be raised when other documents are made of the same resources: clients keep them by their hash, for good. */
const FORM = 2;

export function createOpenApi(
  tables: Tables,
  gitVersion: string,
  descriptions: () => Promise<Descriptions> = async () => ({}),
  descriptionsHash: () => string = () => '',
): OpenApi {
  const info = { title: 'Kubernetes', version: gitVersion };
  const current = madeFromResources(tables, () => stateOf(tables, `${gitVersion} ${FORM} ${descriptionsHash()}`));
  const version2 = async (): Promise<Schema> => {
    const { paths, schemas } = await openApiOf(tables, [...tables.resources()], OPENAPI_2, await descriptions());
    return { swagger: '2.0', info, paths, definitions: schemas, securityDefinitions: SECURITY };
  };
  const version3 = async ({ resources }: ServedVersion): Promise<ListBody> => {
    const { paths, schemas } = await openApiOf(tables, resources, OPENAPI_3, await descriptions());
    const document = { openapi: '3.0.0', info, paths, components: { schemas, securitySchemes: SECURITY } };
    return { plain: Buffer.from(JSON.stringify(document)) };
  };
  return {
    index(others = []) {
      const paths = [...current().versions].map(([path, { hash }]) => {
        return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
      });
      const further = others.map(({ group, version }) => {
        const path = `apis/${group}/${version}`;
        return [path, { serverRelativeURL: `/openapi/v3/${path}` }];
      });
      return { paths: Object.fromEntries([...paths, ...further]) };
    },
    hashOf: (path) => current().versions.get(path)?.hash,
    document: (path) =>
      ofOneState(current, async ({ versions }) => {
        const entry = versions.get(path);
        if (!entry) return undefined;
        entry.body ??= version3(entry.served);
        return { hash: entry.hash, body: await entry.body };
      }),
    version2Hash: () => current().hash,
    version2: () =>
      ofOneState(current, async (state) => {
        state.version2 ??= version2().then((document) => ({ plain: Buffer.from(JSON.stringify(document)) }));
        return { hash: state.hash, body: await state.version2 };
      }),
    version2Protobuf: () =>
      ofOneState(current, async (state) => {
        state.protobuf ??= version2().then(async (document) => ({ plain: await openApi2AsProtobuf(document) }));
        return { hash: state.hash, body: await state.protobuf };
      }),
  };
}

/** Times that a document is begun anew while definitions come and go faster than it can be made. */
const MAX_TRIES = 20;

/** Documents take several turns: one that resources changed under, or that failed for it, is made again. */
async function ofOneState<T>(current: () => State, make: (state: State) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const state = current();
    const made = await make(state).then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    if (current() !== state && tries < MAX_TRIES) continue;
    if ('error' in made) throw made.error;
    return made.value;
  }
}

function stateOf(tables: Tables, program: string): State {
  const versions = new Map<string, Entry>();
  const all = createHash('sha512');
  for (const group of servedGroups(tables)) {
    for (const served of group.versions) {
      const path = `${served.group === '' ? 'api' : 'apis'}/${apiVersionOf(served)}`;
      const hash = hashOf(program, served);
      versions.set(path, { served, hash });
      all.update(`${path} ${hash}\n`);
    }
  }
  return { versions, hash: all.digest('hex').toUpperCase() };
}

/** Types and what is said of them belong to the program's version; what can change at run time is which resources there are, and custom ones' schemas. */
function hashOf(program: string, served: ServedVersion): string {
  const hash = createHash('sha256').update(program);
  for (const { subresources, ...row } of served.resources) hash.update(JSON.stringify([row, [...subresources]]));
  return hash.digest('hex').toUpperCase();
}
