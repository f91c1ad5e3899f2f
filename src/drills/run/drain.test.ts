// Draining and evicting against an API that fails as one does whose servers are restarted. Its budget allows one pod at a time.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeClock } from '../../lib/fake-clock.ts';
import { seededRandom } from '../../lib/random.ts';
import type { Ground } from '../faults/ground.ts';
import { type Answer, NoAnswer, NotSent, type Question } from '../probes/connection.ts';
import { cordon, drain } from './drain.ts';
import { evictOnAndOn } from './eviction.ts';
import { SharedBudgets } from './shared-budgets.ts';

const NEVER = new AbortController().signal;
const GOES_MS = 1_000;
const COMES_MS = 2_000;
const NOT_NOW = 'The disruption budget ordered needs 1 healthy pods and has 1 currently';

type Failing = (question: Question) => Answer | Error | undefined;

interface FakePod {
  node: string;
  isReady: boolean;
  leavesMs?: number;
  readyMs?: number;
}

/** Two pods of a StatefulSet, of which one must be ready, on the nodes of which `worker-1` is drained. */
class Api {
  readonly clock = new FakeClock();
  readonly pods = new Map<string, FakePod>([
    ['ordered-0', { node: 'worker-1', isReady: true }],
    ['ordered-1', { node: 'worker-1', isReady: true }],
  ]);
  readonly evicted: string[] = [];
  failing: Failing = () => undefined;
  /** Another spends the budget until then. */
  spentUntilMs = 0;
  cordoned: boolean | undefined;

  readonly connection = {
    connects: 1,
    renew: (): void => {
      this.connection.connects++;
    },
    ask: async (question: Question): Promise<Answer> => {
      this.#pass();
      const failure = this.failing(question);
      if (failure instanceof Error) throw failure;
      return failure ?? this.#answer(question);
    },
  };

  #pass(): void {
    const nowMs = this.clock.monotonic();
    for (const pod of this.pods.values()) {
      if (pod.leavesMs !== undefined && pod.leavesMs <= nowMs) {
        Object.assign(pod, { node: 'worker-2', isReady: false, leavesMs: undefined, readyMs: pod.leavesMs + COMES_MS });
      }
      if (pod.readyMs !== undefined && pod.readyMs <= nowMs) Object.assign(pod, { isReady: true, readyMs: undefined });
    }
  }

  #answer({ method, path, body }: Question): Answer {
    if (method === 'PATCH') {
      this.cordoned = (body as { spec: { unschedulable: boolean | null } }).spec.unschedulable === true;
      return { code: 200, text: '{}' };
    }
    if (method === 'GET') return { code: 200, text: JSON.stringify({ items: [...this.pods].map(listed) }) };
    const name = /pods\/([^/]+)\/eviction$/.exec(path)![1]!;
    const pod = this.pods.get(name);
    if (!pod) return refusal(404, `pods "${name}" not found`);
    const ready = [...this.pods.values()].filter(({ isReady, leavesMs }) => isReady && leavesMs === undefined);
    if (ready.length < 2 || this.clock.monotonic() < this.spentUntilMs) return byBudget();
    this.evicted.push(name);
    pod.leavesMs = this.clock.monotonic() + GOES_MS;
    return { code: 201, text: '{}' };
  }
}

function listed([name, { node, isReady, leavesMs }]: [string, FakePod]): object {
  return {
    metadata: {
      ...{ name, uid: name, labels: { app: 'ordered' } },
      ...(leavesMs !== undefined && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    },
    spec: { nodeName: node },
    status: { conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }] },
  };
}

const refusal = (code: number, message: string, details?: object): Answer => ({
  code,
  text: JSON.stringify({ kind: 'Status', code, message, details }),
});
const byBudget = (): Answer =>
  refusal(429, "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes: [{ reason: 'DisruptionBudget', message: NOT_NOW }],
  });
const isEviction = ({ path }: Question): boolean => path.endsWith('/eviction');

/** Lets time pass until it is done; says how much, and how it ended. */
async function timed(work: Promise<unknown>, clock: FakeClock): Promise<{ ms: number; error?: string }> {
  const fromMs = clock.monotonic();
  let end: { error?: string } | undefined;
  work.then(
    () => {
      end = {};
    },
    (error: Error) => {
      end = { error: error.message };
    },
  );
  while (!end) await clock.advance(100);
  return { ms: clock.monotonic() - fromMs, ...end };
}

test('pods go one after the other, and the node stays cordoned', async () => {
  const api = new Api();
  const { error, ms } = await timed(drain(api, 'worker-1', NEVER), api.clock);
  assert.equal(error, undefined);
  assert.deepEqual(api.evicted, ['ordered-0', 'ordered-1']);
  assert.ok(ms >= GOES_MS + COMES_MS + GOES_MS, 'the second waited until the first was ready elsewhere');
  assert.equal(api.cordoned, true);
});

test('whatever a server that is restarted does to any question, it is asked again', async () => {
  const failures: readonly (Answer | Error)[] = [
    new NoAnswer('the connection ended without an answer'),
    new NotSent('the stream was refused'),
    { code: 503, text: '<html>no server is available' },
    refusal(429, 'too many requests'),
    refusal(500, 'etcdserver: request timed out'),
  ];
  for (const failure of failures) {
    const api = new Api();
    const random = seededRandom(1);
    api.failing = () => (random.next() < 0.5 ? failure : undefined);
    assert.equal((await timed(drain(api, 'worker-1', NEVER), api.clock)).error, undefined);
    assert.deepEqual(api.evicted, ['ordered-0', 'ordered-1']);
  }
});

test('an eviction that changed meanwhile is asked again, and a pod that is gone is no failure', async () => {
  const api = new Api();
  let changes = 2;
  api.failing = (question) => (isEviction(question) && changes-- > 0 ? refusal(409, 'changed') : undefined);
  assert.equal((await timed(drain(api, 'worker-1', NEVER), api.clock)).error, undefined);
  const gone = new Api();
  gone.failing = (question) => {
    if (!isEviction(question)) return undefined;
    gone.pods.clear();
    return refusal(404, 'not found');
  };
  assert.equal((await timed(drain(gone, 'worker-1', NEVER), gone.clock)).error, undefined);
});

test('a server that keeps failing is left for another', async () => {
  const api = new Api();
  api.failing = () => (api.connection.connects < 3 ? { code: 503, text: 'not ready' } : undefined);
  assert.equal((await timed(drain(api, 'worker-1', NEVER), api.clock)).error, undefined);
  const late = new Api();
  late.failing = (question) =>
    isEviction(question) && late.connection.connects === 1 ? refusal(500, 'etcdserver: no leader') : undefined;
  assert.equal((await timed(drain(late, 'worker-1', NEVER), late.clock)).error, undefined);
});

test('time in which the budget refuses does not count', async () => {
  const api = new Api();
  api.spentUntilMs = 125_000;
  const { error, ms } = await timed(drain(api, 'worker-1', NEVER), api.clock);
  assert.equal(error, undefined);
  assert.ok(ms > 125_000 && ms < 135_000, `${ms}`);
});

test('but it ends, with what the budget said', async () => {
  const api = new Api();
  api.spentUntilMs = Number.POSITIVE_INFINITY;
  const { error, ms } = await timed(drain(api, 'worker-1', NEVER), api.clock);
  assert.equal(error, `worker-1 is not drained: ordered-0: ${NOT_NOW}, ordered-1: ${NOT_NOW}`);
  assert.ok(ms > 180_000 && ms < 181_000, `${ms}`);
});

test('what hinders it besides the budget may do so for half a minute, and is said', async () => {
  const stuck = new Api();
  for (const pod of stuck.pods.values()) pod.leavesMs = Number.POSITIVE_INFINITY;
  const left = await timed(drain(stuck, 'worker-1', NEVER), stuck.clock);
  assert.equal(left.error, 'worker-1 is not drained: ordered-0 has not gone yet, ordered-1 has not gone yet');
  const deaf = new Api();
  deaf.failing = (question) => (isEviction(question) ? new NoAnswer('no answer within 2000 ms') : undefined);
  const unheard = await timed(drain(deaf, 'worker-1', NEVER), deaf.clock);
  assert.equal(unheard.error, 'worker-1 is not drained: ordered-0: no answer within 2000 ms');
  for (const { ms } of [left, unheard]) assert.ok(ms > 30_000 && ms < 31_000, `${ms}`);
});

test('what asking again cannot help is said at once', async () => {
  const api = new Api();
  const forbidden = refusal(403, 'poddisruptionbudgets "ordered" is forbidden: pdb disruptions allowed is negative');
  api.failing = (question) => (isEviction(question) ? forbidden : undefined);
  const { error, ms } = await timed(drain(api, 'worker-1', NEVER), api.clock);
  assert.match(error!, /^pod ordered-0 cannot be evicted: 403 .*pdb disruptions allowed is negative$/);
  assert.ok(ms < 1_000);
});

test('a node that is not there cannot be cordoned; to take that back is harmless', async () => {
  const api = new Api();
  api.failing = ({ method }) => (method === 'PATCH' ? refusal(404, 'nodes "worker-1" not found') : undefined);
  assert.match((await timed(drain(api, 'worker-1', NEVER), api.clock)).error!, /^worker-1 cannot be cordoned: 404/);
  await cordon(api, { node: 'worker-1', on: false }, NEVER);
});

test('a drain that is broken off evicts nothing more', async () => {
  const api = new Api();
  const stop = new AbortController();
  const draining = timed(drain(api, 'worker-1', stop.signal), api.clock);
  stop.abort(new Error('the drill is over'));
  assert.equal((await draining).error, 'the drill is over');
});

test('evictions beside the faults go on whatever is answered, and say how often they had which answer', async () => {
  const api = new Api();
  const problems: string[] = [];
  const stop = new AbortController();
  const besetting = { ...parts(api), isHeld: () => false, onProblem: (text: string) => problems.push(text) };
  const answers: (Answer | Error | undefined)[] = [new NoAnswer('ended'), byBudget(), refusal(400, 'bad'), undefined];
  api.failing = (question) => (isEviction(question) ? answers.shift() : undefined);
  const evicting = evictOnAndOn(besetting, stop.signal);
  await api.clock.advance(10_000);
  stop.abort();
  assert.deepEqual(await evicting, { going: 1, refused: 1, unanswered: 1 });
  assert.equal(api.evicted.length, 1);
  assert.deepEqual(
    problems.map((text) => text.replace(/ordered-\d/, 'ordered')),
    ['pod ordered cannot be evicted: 400 bad'],
  );
});

test('they keep away from the budget while a fault spends it, also when that begins while they look, and go on then', async () => {
  const api = new Api();
  let end: () => void = () => undefined;
  const ground: Ground = {
    perform: () => new Promise((resolve) => (end = resolve)),
  };
  const shared = new SharedBudgets(ground);
  let draining: Promise<void> | undefined;
  api.failing = ({ method }) => {
    if (method === 'GET') draining ??= shared.perform({ op: 'drain', host: 'worker-1' }, NEVER);
    return undefined;
  };
  const stop = new AbortController();
  const besetting = { ...parts(api), isHeld: () => shared.isSpending, onProblem: assert.fail };
  const evicting = evictOnAndOn(besetting, stop.signal);
  await api.clock.advance(20_000);
  assert.deepEqual(api.evicted, []);
  end();
  await draining;
  await api.clock.advance(3_000);
  assert.equal(api.evicted.length, 1);
  stop.abort();
  await evicting;
});

test('faults that spend no budget hold nothing back, and one that fails does so no longer', async () => {
  const seen: boolean[] = [];
  const shared: SharedBudgets = new SharedBudgets({
    perform: async () => {
      seen.push(shared.isSpending);
      throw new Error('it fails');
    },
  });
  await assert.rejects(shared.perform({ op: 'power', host: 'worker-1', on: false }, NEVER), /it fails/);
  await assert.rejects(shared.perform({ op: 'drain', host: 'worker-1' }, NEVER), /it fails/);
  assert.deepEqual([...seen, shared.isSpending], [false, true, false]);
});

const parts = ({ connection, clock }: Api) => ({ connection, clock });
