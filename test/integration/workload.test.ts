// A web server on a real cluster: it rolls out, answers, heals, is changed and taken down, as a person would do it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from './harness.ts';
import { CLIENT, clientDuring, fetchOnce, RealCluster, WEB_1, WEB_2 } from './real-cluster.ts';

let cluster: RealCluster;
let nodeAddress: string;
let nodeUrl: string;

before(async () => {
  cluster = await RealCluster.start('workload');
  nodeAddress = await cluster.field('nodes', '{.items[0].status.addresses[?(@.type=="InternalIP")].address}');
});
after(() => cluster?.stop());

/** Asks 60 times and counts who answered. */
async function spread(ask: () => Promise<string>): Promise<Map<string, number>> {
  const answers = new Map<string, number>();
  for (let i = 0; i < 60; i++) {
    const who = await ask();
    answers.set(who, (answers.get(who) ?? 0) + 1);
  }
  return answers;
}

async function assertSpreadOverPods(answers: Map<string, number>): Promise<void> {
  assert.deepEqual([...answers.keys()].sort(), (await cluster.pods('app=web')).sort());
}

describe('a web server', () => {
  test('create deployment with three replicas rolls out', async () => {
    await cluster.kubectl(['create', 'deployment', 'web', `--image=${WEB_1}`, '--replicas=3']);
    assert.match(await cluster.rolledOut('web'), /deployment "web" successfully rolled out/);
    assert.equal((await cluster.pods('app=web')).length, 3);
    assert.equal(await cluster.field('deployment web', '{.status.availableReplicas}'), '3');
  });

  test('its node port answers from all three pods', async () => {
    assert.match(
      await cluster.kubectl(['expose', 'deployment', 'web', '--port=80', '--type=NodePort']),
      /service\/web exposed/,
    );
    const port = await cluster.field('service web', '{.spec.ports[0].nodePort}');
    nodeUrl = `http://${nodeAddress}:${port}/`;
    await eventually('the node port answers', () => fetchOnce(nodeUrl));
    await eventually('all pods are behind it', async () => {
      await assertSpreadOverPods(await spread(() => fetchOnce(nodeUrl)));
      return true;
    });
  });

  test('its name answers in a pod, from all three pods', async () => {
    await cluster.kubectl(['run', 'client', `--image=${CLIENT}`]);
    await cluster.ready('client');
    for (const name of ['web', 'web.default.svc.cluster.local']) {
      const line = `for i in $(seq 60); do curl -s http://${name}/ || echo failed; done`;
      const names = (await cluster.shell('client', line)).split('\n');
      let next = 0;
      await assertSpreadOverPods(await spread(async () => names[next++]!));
    }
  });

  test('a deleted pod is replaced and a client that retries once sees no failure', async () => {
    const [victim = '', ...others] = await cluster.pods('app=web');
    const report = await clientDuring(nodeUrl, async () => {
      await cluster.kubectl(['delete', 'pod', victim]);
      await cluster.rolledOut('web');
    });
    assert.deepEqual(report.failed, []);
    assert.ok(report.requests > 20, `${report.requests} requests`);
    const now = await cluster.pods('app=web');
    assert.equal(now.length, 3);
    assert.ok(!now.includes(victim) && others.every((name) => now.includes(name)));
    assert.match(await cluster.event((await owner(victim)) ?? '', 'SuccessfulCreate'), /^Created pod: web-/);
  });

  test('a liveness probe that starts to fail has the container restarted', async () => {
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'probed' },
      spec: {
        containers: [
          {
            name: 'web',
            image: WEB_1,
            livenessProbe: { httpGet: { path: '/healthy', port: 80 }, periodSeconds: 1, failureThreshold: 2 },
          },
        ],
      },
    });
    await cluster.ready('probed');
    assert.equal(await restarts('probed'), 0);
    await cluster.shell('probed', 'rm /www/healthy');
    await eventually('it is restarted', async () => (await restarts('probed')) >= 1);
    await cluster.ready('probed');
    assert.match(
      await cluster.event('probed', 'Unhealthy'),
      /^Liveness probe failed: HTTP probe failed with statuscode: 404/,
    );
    assert.equal(await cluster.event('probed', 'Killing'), 'Container web failed liveness probe, will be restarted');
    await eventually('started twice', async () => {
      const counts = await cluster.field(
        'events --field-selector=involvedObject.name=probed,reason=Started',
        '{.items[*].count}',
      );
      return counts.split(' ').reduce((sum, count) => sum + Number(count), 0) >= 2;
    });
    assert.equal(await cluster.shell('probed', 'cat /www/healthy'), 'ok');
  });

  test('a killed main process is restarted, and backed off when it happens again', async () => {
    await cluster.kubectl([
      'run',
      'killed',
      `--image=${WEB_1}`,
      '--command',
      '--',
      'sh',
      '-c',
      'trap "exit 3" TERM; while :; do sleep 0.1; done',
    ]);
    await cluster.ready('killed');
    await cluster.shell('killed', 'kill 1');
    await eventually('it is restarted', async () => (await restarts('killed')) === 1);
    await cluster.ready('killed');
    const path = '{.status.containerStatuses[0].lastState.terminated';
    assert.equal(await cluster.field('pod killed', `${path}.exitCode}`), '3');
    assert.equal(await cluster.field('pod killed', `${path}.reason}`), 'Error');
    await cluster.shell('killed', 'kill 1');
    await eventually(
      'it waits',
      async () =>
        (await cluster.field('pod killed', '{.status.containerStatuses[0].state.waiting.reason}')) ===
        'CrashLoopBackOff',
    );
    assert.match(
      await cluster.event('killed', 'BackOff'),
      /^Back-off restarting failed container killed in pod killed_default\(/,
    );
    await eventually('it is restarted again', async () => (await restarts('killed')) === 2);
    await cluster.kubectl(['delete', 'pod', 'killed', 'probed', '--now']);
  });
});

async function owner(pod: string): Promise<string | undefined> {
  return pod.split('-').slice(0, -1).join('-') || undefined;
}

async function restarts(pod: string): Promise<number> {
  return Number(await cluster.field(`pod ${pod}`, '{.status.containerStatuses[0].restartCount}'));
}

describe('a new version', () => {
  async function versions(): Promise<Set<string>> {
    return new Set((await spread(() => fetchOnce(`${nodeUrl}version`))).keys());
  }

  test('a good image is rolled out without a lost request', async () => {
    const report = await clientDuring(nodeUrl, async () => {
      assert.match(
        await cluster.kubectl(['set', 'image', 'deployment/web', `web=${WEB_2}`]),
        /deployment.apps\/web image updated/,
      );
      await cluster.rolledOut('web');
    });
    assert.deepEqual(report.failed, []);
    await eventually('only the new version answers', async () => [...(await versions())].join() === WEB_2);
  });

  test('a broken image is stuck without loss until it is undone', async () => {
    const report = await clientDuring(nodeUrl, async () => {
      await cluster.kubectl(['set', 'image', 'deployment/web', 'web=localhost:1/none:1']);
      const { code, stderr } = await cluster.kubectlRun(['rollout', 'status', 'deployment/web', '--timeout=5s']);
      assert.notEqual(code, 0);
      assert.match(stderr, /timed out waiting for the condition/);
      assert.equal(await cluster.field('deployment web', '{.status.availableReplicas}'), '3');
      await eventually('the pull is backed off', async () =>
        (await cluster.kubectl(['get', 'pods', '-l', 'app=web'])).includes('ImagePullBackOff'),
      );
      assert.match(await cluster.kubectl(['rollout', 'undo', 'deployment/web']), /deployment.apps\/web rolled back/);
      await cluster.rolledOut('web');
    });
    assert.deepEqual(report.failed, []);
    assert.deepEqual(report.retried, 0);
    assert.deepEqual([...(await versions())], [WEB_2]);
  });

  test('history, undo to a revision, pause and resume', async () => {
    const history = await cluster.kubectl(['rollout', 'history', 'deployment/web']);
    assert.match(history, /REVISION +CHANGE-CAUSE\n1 +<none>\n3 +<none>\n4 +<none>/);
    assert.match(
      await cluster.kubectl(['rollout', 'history', 'deployment/web', '--revision=1']),
      /Image:\s+docker.io\/library\/web:1/,
    );
    await cluster.kubectl(['rollout', 'undo', 'deployment/web', '--to-revision=1']);
    await cluster.rolledOut('web');
    assert.equal(await cluster.field('deployment web', '{.spec.template.spec.containers[0].image}'), WEB_1);

    assert.match(await cluster.kubectl(['rollout', 'pause', 'deployment/web']), /deployment.apps\/web paused/);
    await cluster.kubectl(['set', 'image', 'deployment/web', `web=${WEB_2}`]);
    const isObserved = async () =>
      (await cluster.field('deployment web', '{.status.observedGeneration}')) ===
      (await cluster.field('deployment web', '{.metadata.generation}'));
    await eventually('the controller has seen it', isObserved);
    assert.equal(await cluster.field('deployment web', '{.status.updatedReplicas}'), '');
    assert.match(await cluster.kubectl(['rollout', 'resume', 'deployment/web']), /deployment.apps\/web resumed/);
    await cluster.rolledOut('web');
    await eventually('only the new version answers', async () => [...(await versions())].join() === WEB_2);
    const restarted = await cluster.kubectl(['rollout', 'restart', 'deployment/web']);
    assert.match(restarted, /restarted/);
    await cluster.rolledOut('web');
  });

  test('scale up, down, to none and back', async () => {
    for (const replicas of [5, 1, 0, 3]) {
      assert.match(
        await cluster.kubectl(['scale', 'deployment/web', `--replicas=${replicas}`]),
        /deployment.apps\/web scaled/,
      );
      await cluster.rolledOut('web');
      await eventually(`${replicas} pods`, async () => (await cluster.pods('app=web')).length === replicas);
      if (replicas === 0) {
        await eventually('refused at once', () =>
          fetchOnce(nodeUrl).then(
            () => false,
            (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
          ),
        );
      }
    }
    await eventually('it answers again', () => fetchOnce(nodeUrl));
    const { code, stderr } = await cluster.kubectlRun([
      'scale',
      'deployment/web',
      '--current-replicas=9',
      '--replicas=1',
    ]);
    assert.equal(code, 1);
    assert.match(stderr, /Expected replicas to be 9, was 3/);
  });
});

describe('a node', () => {
  let node: string;
  before(async () => {
    node = await cluster.field('nodes', '{.items[0].metadata.name}');
  });

  test('cordon, drain and uncordon', async () => {
    assert.match(await cluster.kubectl(['cordon', node]), new RegExp(`node/${node} cordoned`));
    assert.match(await cluster.kubectl(['get', 'nodes']), /Ready,SchedulingDisabled/);
    const refused = await cluster.kubectlRun(['drain', node]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /cannot delete .*Pods that declare no controller.*default\/client/s);
    await cluster.kubectl(['create', 'poddisruptionbudget', 'web', '--selector=app=web', '--min-available=3']);
    await eventually(
      'the budget is counted',
      async () => (await cluster.field('pdb web', '{.status.currentHealthy}')) === '3',
    );
    const protectedPods = await cluster.pods('app=web');
    const kept = await cluster.kubectlRun(['drain', node, '--pod-selector=app=web', '--timeout=2s']);
    assert.equal(kept.code, 1);
    assert.match(kept.stderr, /Cannot evict pod as it would violate the pod's disruption budget\./);
    assert.deepEqual(await cluster.pods('app=web'), protectedPods);
    await cluster.kubectl(['delete', 'poddisruptionbudget', 'web']);
    const drained = await cluster.kubectl(['drain', node, '--pod-selector=app=web'], { timeoutMs: 90_000 });
    assert.match(drained, /evicted/);
    await eventually('the new pods wait', async () => {
      const phases = await cluster.field('pods -l app=web', '{.items[*].status.phase}');
      return phases === 'Pending Pending Pending';
    });
    const [waiting = ''] = await cluster.pods('app=web');
    assert.match(
      await cluster.event(waiting, 'FailedScheduling'),
      /^0\/1 nodes are available: 1 node\(s\) were unschedulable\./,
    );
    await cluster.kubectl(['uncordon', node]);
    await cluster.rolledOut('web');
  });

  test('a NoExecute taint evicts what does not tolerate it', async () => {
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'tolerant' },
      spec: {
        tolerations: [{ key: 'maintenance', operator: 'Exists' }],
        containers: [{ name: 'web', image: WEB_1 }],
      },
    });
    await cluster.ready('tolerant');
    assert.match(await cluster.kubectl(['taint', 'nodes', node, 'maintenance=now:NoExecute']), /tainted/);
    await cluster.kubectl(['wait', '--for=delete', 'pod/client', '--timeout=120s']);
    const [waiting = ''] = await cluster.pods('app=web');
    assert.match(
      await cluster.event(waiting, 'FailedScheduling'),
      /^0\/1 nodes are available: 1 node\(s\) had untolerated taint\(s\)\./,
    );
    assert.equal(await cluster.field('pod tolerant', '{.status.phase}'), 'Running');
    assert.match(await cluster.kubectl(['taint', 'nodes', node, 'maintenance-']), /untainted/);
    await cluster.rolledOut('web');
    await cluster.kubectl(['run', 'client', `--image=${CLIENT}`]);
    await cluster.ready('client');
  });
});

describe('what a pod is given', () => {
  test('ConfigMaps and Secrets as files and environment, after its init containers in order', async () => {
    await cluster.kubectl(['create', 'configmap', 'settings', '--from-literal=colour=blue', '--from-literal=size=4']);
    await cluster.kubectl(['create', 'secret', 'generic', 'keys', '--from-literal=password=s3cret']);
    const shared = { volumeMounts: [{ name: 'shared', mountPath: '/shared' }] };
    const step = (name: string, line: string) => ({ name, image: WEB_1, command: ['sh', '-c', line], ...shared });
    await cluster.apply({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'given', labels: { tier: 'back' } },
      spec: {
        restartPolicy: 'Never',
        volumes: [
          { name: 'shared', emptyDir: {} },
          { name: 'settings', configMap: { name: 'settings' } },
          { name: 'keys', secret: { secretName: 'keys', defaultMode: 0o400 } },
        ],
        initContainers: [step('one', 'echo one >> /shared/log'), step('two', 'echo two >> /shared/log')],
        containers: [
          {
            name: 'main',
            image: WEB_1,
            command: [
              'sh',
              '-c',
              'cat /shared/log /settings/colour /keys/password; echo; echo $SIZE $PASSWORD $WEB_SERVICE_PORT $POD',
            ],
            env: [
              { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'keys', key: 'password' } } },
              { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
              { name: 'SIZE', valueFrom: { configMapKeyRef: { name: 'settings', key: 'size' } } },
            ],
            envFrom: [{ configMapRef: { name: 'settings' } }],
            volumeMounts: [
              { name: 'shared', mountPath: '/shared' },
              { name: 'settings', mountPath: '/settings' },
              { name: 'keys', mountPath: '/keys' },
            ],
          },
        ],
      },
    });
    await cluster.kubectl(['wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/given', '--timeout=120s']);
    assert.equal(await cluster.kubectl(['logs', 'given']), 'one\ntwo\nblues3cret\n4 s3cret 80 given');
    assert.equal(
      await cluster.field('pod given', '{.status.initContainerStatuses[*].state.terminated.reason}'),
      'Completed Completed',
    );
  });

  test('the names of all pods behind a headless service', async () => {
    await cluster.kubectl(['create', 'service', 'clusterip', 'peers', '--clusterip=None', '--tcp=80']);
    await cluster.kubectl(['set', 'selector', 'service/peers', 'app=web']);
    await eventually('three addresses', async () => {
      const text = await cluster.shell('client', 'nslookup peers.default.svc.cluster.local');
      const found = [...text.matchAll(/^Address: (10\.244\.\S+)$/gm)].map((match) => match[1]).sort();
      const ips = await cluster.field('pods -l app=web', '{.items[*].status.podIP}');
      assert.deepEqual(found, ips.split(' ').sort());
      return true;
    });
  });

  test('one pod for all its requests with session affinity', async () => {
    await cluster.kubectl(['expose', 'deployment', 'web', '--name=sticky', '--port=80', '--session-affinity=ClientIP']);
    const line = 'for i in $(seq 30); do curl -s http://sticky/; done | sort | uniq -c';
    await eventually('one pod answers', async () => /^\s*30 web-\S+$/.test(await cluster.shell('client', line)));
  });

  test('the API server by its service account token', async () => {
    const directory = '/var/run/secrets/kubernetes.io/serviceaccount';
    const ask = (path: string) =>
      cluster.shell(
        'client',
        `curl -s --cacert ${directory}/ca.crt -H "Authorization: Bearer $(cat ${directory}/token)" https://kubernetes.default.svc${path}`,
      );
    assert.equal(JSON.parse(await ask('/version')).minor, '36');
    const refused = JSON.parse(await ask('/api/v1/namespaces/default/pods'));
    assert.equal(
      refused.message,
      'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" in API group "" in the namespace "default"',
    );
    await cluster.kubectl(['create', 'rolebinding', 'view', '--clusterrole=view', '--serviceaccount=default:default']);
    await eventually(
      'it may list pods',
      async () => JSON.parse(await ask('/api/v1/namespaces/default/pods')).kind === 'PodList',
    );
    assert.equal(await cluster.shell('client', `cat ${directory}/namespace`), 'default');
  });
});

test('down leaves nothing behind', () => cluster.downLeavesNothing());
