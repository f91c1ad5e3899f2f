// Drill and DrillSchedule as people with kubectl see them: who may, what is refused, what the controller says. The cluster has
// no hosts that could be broken; test/integration/drill.test.ts has.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import type { KubeObject } from '../../api/object.ts';
import { Tables } from '../../api/tables.ts';
import type { ResourceClient } from '../../client/contract.ts';
import { type HttpsClient, httpsClient } from '../../client/https.ts';
import { accessFrom, parseKubeconfig } from '../../client/kubeconfig.ts';
import { startEmbeddedCluster } from '../../cluster/embedded-cluster.ts';
import type { EmbeddedCluster } from '../../cluster/embedded-contract.ts';
import { type Layout, layoutOf } from '../../cluster/layout.ts';
import { until } from '../../lib/test-until.ts';
import { realEnvironment } from '../../platform/environment.ts';
import { identify, Journal } from '../watchdog/journal.ts';
import { installDefinitions, runController } from './controller.ts';
import type { DrillObject, ScheduleObject } from './decide.ts';
import { GROUP, VERSION } from './definitions.ts';

const env = realEnvironment('silent');
/** Two minutes ahead: what is to happen every minute is due. */
const AHEAD = { ...env, clock: { ...bound(env.clock), now: () => env.clock.now() + 120_000 } };
const stop = new AbortController();
const clients: HttpsClient[] = [];
let cluster: EmbeddedCluster;
let layout: Layout;
let running: Promise<void>;

before(async () => {
  cluster = await startEmbeddedCluster(env, { nodes: 0 });
  layout = layoutOf(await mkdtemp(join(tmpdir(), 'tsukube-drills-')), 'c');
  await mkdir(layout.root);
  await writeFile(layout.adminKubeconfig, cluster.kubeconfig);
  await installDefinitions({ layout, env }, stop.signal);
  running = runController(
    { layout, env: AHEAD, program: ['false'], processId: process.pid, say: () => undefined },
    stop.signal,
  );
  const roles = { runner: 'tsukube:drill-runner', viewer: 'tsukube:drill-viewer', developer: 'admin' };
  for (const [name, role] of Object.entries(roles)) await bind(name, role);
});

after(async () => {
  stop.abort(new Error('the test is over'));
  await running;
  for (const client of clients) client.close();
  await cluster.dispose();
  await rm(dirname(layout.root), { recursive: true, force: true });
});

function bound(clock: typeof env.clock): typeof env.clock {
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    timer: (delayMs, fire) => clock.timer(delayMs, fire),
  };
}

async function bind(name: string, role: string): Promise<void> {
  const binding = {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name }],
  };
  await cluster.client.resource('clusterrolebindings.rbac.authorization.k8s.io').create(binding as never);
}

async function as(username: string, resource = 'drills'): Promise<ResourceClient<KubeObject>> {
  const access = await accessFrom(parseKubeconfig(cluster.kubeconfigFor({ username })));
  const client = httpsClient({ access, tables: new Tables(), clock: env.clock });
  clients.push(client);
  return client.dynamic({ group: GROUP, version: VERSION, resource, namespaced: false });
}

const drill = (name: string, spec: object): KubeObject =>
  ({ apiVersion: `${GROUP}/${VERSION}`, kind: 'Drill', metadata: { name }, spec }) as KubeObject;

/** What becomes of a Drill that a runner makes. */
async function ends(name: string, spec: object): Promise<NonNullable<DrillObject['status']>> {
  const drills = await as('runner');
  await drills.create(drill(name, spec));
  return until(`${name} has ended`, async () => {
    const { status } = (await drills.get({ name })) as DrillObject;
    return status?.phase !== undefined && !['Pending', 'Running'].includes(status.phase) && status;
  });
}

const refusal = (user: string, verb: string): object => ({
  message:
    `drills.${GROUP} is forbidden: User "${user}" cannot ${verb} resource "drills" ` +
    `in API group "${GROUP}" at the cluster scope`,
});

test('a drill-runner may make drills, a drill-viewer look at them, and nobody else either', async () => {
  const wish = drill('dry', { drills: ['host-power'], dryRun: true });
  await (await as('runner')).create(wish);
  const [viewer, developer] = [await as('viewer'), await as('developer')];
  assert.equal((await viewer.get({ name: 'dry' })).metadata.name, 'dry');
  await assert.rejects(viewer.create(drill('more', wish)), refusal('viewer', 'create'));
  await assert.rejects(developer.list({}), refusal('developer', 'list'));
  await assert.rejects(developer.create(drill('more', wish)), refusal('developer', 'create'));
  // What a drill has found is for the controller to say.
  const body = { status: { phase: 'Succeeded' } };
  const lie = (await as('runner')).patch({ name: 'dry' }, { type: 'merge', body }, { subresource: 'status' });
  await assert.rejects(lie, /User "runner" cannot patch resource "drills\/status"/);
  await (await as('runner')).delete({ name: 'dry' });
});

test('a dry run says what would be done', async () => {
  const { phase, message, plan } = await ends('plan', { drills: ['server-kill', 'host-power'], dryRun: true });
  assert.deepEqual([phase, message], ['Succeeded', 'dry run: nothing was done']);
  assert.deepEqual(plan, [
    'server-kill: kill server on the holder of the address, after 0 s',
    'host-power: power off the holder of the address, after 0 s, for 8 s',
  ]);
});

test('what cannot be meant is refused, at once or in the status', async () => {
  await assert.rejects((await as('runner')).create(drill('none', { drills: [] })), /spec\.drills/);
  assert.deepEqual(await ends('typo', { drills: ['sever-kill'] }), {
    phase: 'Failed',
    message: 'there is no drill "sever-kill"',
  });
  const { message } = await ends('bound', { drills: ['server-kill'], objective: 'writes<soon' });
  assert.match(message!, /"writes<soon" is no objective/);
});

test('a drill fails where there is nothing to break, and one that is aborted before it began never begins', async () => {
  const failed = await ends('real', { drills: ['server-kill'] });
  assert.deepEqual(
    [failed.phase, failed.message],
    ['Failed', 'there is no cluster "c"; start it with "tsukube up --ha"'],
  );
  assert.deepEqual(await ends('regretted', { drills: ['server-kill'], abort: true }), {
    phase: 'Aborted',
    message: 'aborted before it began',
  });
});

test('a drill whose turn comes while another breaks the cluster waits, and says for what', async () => {
  const owner = (await identify(process.pid))!;
  const journal = await Journal.open(layout, owner, 'by hand');
  const drills = await as('runner');
  await drills.create(drill('patient', { drills: ['server-kill'] }));
  const waiting = await until('it waits', async () => {
    const { status } = (await drills.get({ name: 'patient' })) as DrillObject;
    return status?.phase !== undefined && status;
  });
  const message = `a drill runs on this cluster (process ${process.pid})`;
  assert.deepEqual(waiting, { phase: 'Pending', reason: 'ClusterInUse', message });
  await journal.close();
  const ended = await until('its turn has come', async () => {
    const { status } = (await drills.get({ name: 'patient' })) as DrillObject;
    return status?.phase !== 'Pending' && status?.phase !== 'Running' && status;
  });
  assert.match(ended.message!, /there is no cluster/);
  assert.equal(ended.reason, undefined);
});

test('a schedule that cannot be read says so, in its condition and by an event, until it is mended', async () => {
  const schedules = await as('runner', 'drillschedules');
  const spec = { schedule: '99 * * * *', suspend: true, template: { drills: ['server-kill'], dryRun: true } };
  const made = await schedules.create({ ...drill('odd', spec), kind: 'DrillSchedule' } as KubeObject);
  const ready = async (status: string) =>
    until(`it is judged ${status}`, async () => {
      const found = (await schedules.get({ name: 'odd' })) as ScheduleObject;
      const condition = found.status?.conditions?.find(({ type }) => type === 'Ready');
      return condition?.status === status && condition;
    });
  const { reason, message } = await ready('False');
  assert.equal(reason, 'UnparseableSchedule');
  assert.match(message, /^unparseable schedule: "99 \* \* \* \*" : ./);
  const event = await until('an event says so', async () => {
    const { items } = await cluster.client.resource('events').list({ namespace: 'default' });
    return items.find(({ involvedObject }) => involvedObject.uid === made.metadata.uid) ?? false;
  });
  assert.deepEqual([event.type, event.reason, event.message], ['Warning', reason, message]);
  assert.equal(event.source?.component, 'drill-controller');
  await schedules.patch({ name: 'odd' }, { type: 'merge', body: { spec: { schedule: '0 3 * * *' } } });
  assert.equal((await ready('True')).reason, 'ScheduleParsed');
  await schedules.delete({ name: 'odd' });
});

test('a schedule makes drills that belong to it, and keeps as many as it says', async () => {
  const schedules = await as('runner', 'drillschedules');
  const spec = { schedule: '* * * * *', template: { drills: ['server-kill'], dryRun: true } };
  await schedules.create({ ...drill('often', spec), kind: 'DrillSchedule' } as KubeObject);
  const drills = await as('runner');
  const own = async (): Promise<readonly KubeObject[]> =>
    (await drills.list({})).items.filter(({ metadata }) => metadata.labels?.[`${GROUP}/schedule`] === 'often');
  const [made] = await until('one is made', async () => {
    const found = await own();
    return found.length > 0 && found;
  });
  const { lastScheduleTime } = ((await schedules.get({ name: 'often' })) as ScheduleObject).status ?? {};
  assert.equal(made!.metadata.name, `often-${Date.parse(lastScheduleTime!) / 60_000}`);
  assert.deepEqual(
    made!.metadata.ownerReferences?.map(({ kind, name, controller }) => [kind, name, controller]),
    [['DrillSchedule', 'often', true]],
  );
  const body = { spec: { historyLimit: 0, suspend: true } };
  await schedules.patch({ name: 'often' }, { type: 'merge', body });
  await until('it is removed', async () => (await own()).length === 0);
});
