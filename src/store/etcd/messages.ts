// etcd's messages (api/etcdserverpb/rpc.proto, api/mvccpb/kv.proto), as far as they are used: field name → number and type.
import { type MessageType, message } from './protobuf.ts';

const HEADER = message({
  clusterId: [1, 'id'],
  memberId: [2, 'id'],
  revision: [3, 'int'],
  raftTerm: [4, 'int'],
});

const KEY_VALUE = message({
  key: [1, 'text'],
  createRevision: [2, 'int'],
  modRevision: [3, 'int'],
  version: [4, 'int'],
  value: [5, 'bytes'],
  lease: [6, 'id'],
});

const RANGE_REQUEST = message({
  key: [1, 'text'],
  rangeEnd: [2, 'bytes'],
  limit: [3, 'int'],
  revision: [4, 'int'],
  serializable: [7, 'bool'],
  keysOnly: [8, 'bool'],
  countOnly: [9, 'bool'],
});

const RANGE_RESPONSE = message({
  header: [1, HEADER],
  kvs: [2, KEY_VALUE, 'repeated'],
  more: [3, 'bool'],
  count: [4, 'int'],
});

const PUT_REQUEST = message({ key: [1, 'text'], value: [2, 'bytes'], lease: [3, 'id'], prevKv: [4, 'bool'] });
const PUT_RESPONSE = message({ header: [1, HEADER], prevKv: [2, KEY_VALUE] });
const DELETE_REQUEST = message({ key: [1, 'text'], rangeEnd: [2, 'bytes'], prevKv: [3, 'bool'] });
const DELETE_RESPONSE = message({ header: [1, HEADER], deleted: [2, 'int'], prevKvs: [3, KEY_VALUE, 'repeated'] });

const COMPARE = message({
  result: [1, 'int'],
  target: [2, 'int'],
  key: [3, 'text'],
  version: [4, 'int'],
  modRevision: [6, 'int'],
});
const REQUEST_OP = message({ range: [1, RANGE_REQUEST], put: [2, PUT_REQUEST], delete: [3, DELETE_REQUEST] });
const RESPONSE_OP = message({ range: [1, RANGE_RESPONSE], put: [2, PUT_RESPONSE], delete: [3, DELETE_RESPONSE] });

const WATCH_CREATE = message({
  key: [1, 'text'],
  rangeEnd: [2, 'bytes'],
  startRevision: [3, 'int'],
  prevKv: [6, 'bool'],
});

const EVENT = message({ type: [1, 'int'], kv: [2, KEY_VALUE], prevKv: [3, KEY_VALUE] });

const MEMBER = message({
  id: [1, 'id'],
  name: [2, 'text'],
  peerUrls: [3, 'text', 'repeated'],
  clientUrls: [4, 'text', 'repeated'],
  isLearner: [5, 'bool'],
});

/** A remote procedure: where it is, what goes, what comes. */
export interface Method {
  readonly path: string;
  readonly request: MessageType;
  readonly response: MessageType;
  /** Answered by a member that knows no leader, too. */
  readonly leaderless: boolean;
}

function method(path: string, request: MessageType, response: MessageType, leaderless = false): Method {
  return { path: `/etcdserverpb.${path}`, request, response, leaderless };
}

export const METHODS = {
  range: method('KV/Range', RANGE_REQUEST, RANGE_RESPONSE),
  txn: method(
    'KV/Txn',
    message({
      compare: [1, COMPARE, 'repeated'],
      success: [2, REQUEST_OP, 'repeated'],
      failure: [3, REQUEST_OP, 'repeated'],
    }),
    message({ header: [1, HEADER], succeeded: [2, 'bool'], responses: [3, RESPONSE_OP, 'repeated'] }),
  ),
  compact: method('KV/Compact', message({ revision: [1, 'int'], physical: [2, 'bool'] }), message({})),
  watch: method(
    'Watch/Watch',
    message({ create: [1, WATCH_CREATE] }),
    message({
      header: [1, HEADER],
      created: [3, 'bool'],
      canceled: [4, 'bool'],
      compactRevision: [5, 'int'],
      cancelReason: [6, 'text'],
      events: [11, EVENT, 'repeated'],
    }),
  ),
  leaseGrant: method('Lease/LeaseGrant', message({ ttl: [1, 'int'], id: [2, 'id'] }), message({ id: [2, 'id'] })),
  status: method(
    'Maintenance/Status',
    message({}),
    message({
      header: [1, HEADER],
      version: [2, 'text'],
      dbSize: [3, 'int'],
      leader: [4, 'id'],
      raftIndex: [5, 'int'],
      raftTerm: [6, 'int'],
      errors: [8, 'text', 'repeated'],
    }),
    true,
  ),
  snapshot: method('Maintenance/Snapshot', message({}), message({ remaining: [2, 'int'], blob: [3, 'bytes'] }), true),
  memberList: method('Cluster/MemberList', message({}), message({ members: [2, MEMBER, 'repeated'] }), true),
  memberRemove: method('Cluster/MemberRemove', message({ id: [1, 'id'] }), message({})),
} as const;
