// The kubelet with real containers.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { Pod } from '../../src/api/generated/types.ts';
import { connectCri } from '../../src/kubelet/cri/client.ts';
import {
  ask,
  createPod,
  deletePod,
  ended,
  env,
  events,
  getPod,
  IMAGE,
  isReady,
  m,
  NODE,
  podWhen,
  run,
  serveImage,
  startKubelet,
  until,
  useMachine,
} from './kubelet-lab.ts';

useMachine();

/**
 * A container that takes more than its limit is killed, and why is told. The runtime misses the reason when the container's
 * group is gone before it looks, which on a busy machine may be: then another one is tried.
 */
async function runsOutOfMemory(): Promise<void> {
  const command = ['/bin/sh', '-c', 'a=xxxxxxxx; while :; do a=$a$a; done'];
  const container = { name: 'c', command, resources: { limits: { memory: '24Mi' } } };
  const reasons: (string | undefined)[] = [];
  for (let i = 0; i < 8 && !reasons.includes('OOMKilled'); i++) {
    await createPod(`greedy-${i}`, { restartPolicy: 'Never', containers: [container] });
    const end = (await podWhen(`greedy-${i}`, 'ends', ended)).status?.containerStatuses?.[0]?.state?.terminated;
    assert.equal(end?.exitCode, 137);
    reasons.push(end?.reason);
    await deletePod(`greedy-${i}`);
  }
  assert.equal(reasons.at(-1), 'OOMKilled', reasons.join());
}

describe('kubelet with containerd', () => {
  test('registers its node, which is ready, and keeps its lease', async () => {
    const node = await m.client.resource('nodes').get({ name: NODE });
    assert.equal(node.metadata.labels?.['kubernetes.io/hostname'], NODE);
    assert.match(node.status?.nodeInfo?.containerRuntimeVersion ?? '', /^containerd:\/\//);
    assert.equal(node.status?.daemonEndpoints?.kubeletEndpoint?.Port, m.kubelet.port);
    const leases = m.client.resource('leases.coordination.k8s.io');
    const lease = await until('the lease belongs to the node', async () => {
      const found = await leases.get({ namespace: 'kube-node-lease', name: NODE });
      return found.metadata.ownerReferences?.[0]?.uid === node.metadata.uid ? found : undefined;
    });
    assert.equal(lease.spec.leaseDurationSeconds, 40);
  });

  test('takes a pod that selects a label its node was given a moment ago, and none that it has not', async () => {
    const selecting = (name: string, moment: string): Promise<Pod> => {
      const containers = [{ name: 'c', command: ['/bin/sh', '-c', 'exit 0'] }];
      return createPod(name, { restartPolicy: 'Never', nodeSelector: { moment }, containers });
    };
    const body = { metadata: { labels: { moment: 'now' } } };
    await m.client.resource('nodes').patch({ name: NODE }, { type: 'merge', body });
    await selecting('here', 'now');
    await selecting('elsewhere', 'never');
    const refused = await podWhen('elsewhere', 'ends', (pod) => pod.status?.phase === 'Failed');
    assert.equal(refused.status?.reason, 'NodeAffinity');
    const taken = await podWhen('here', 'ends', ended);
    assert.equal(taken.status?.phase, 'Succeeded', JSON.stringify(taken.status));
  });

  test('five hundred changes of a pod: the generation that was seen comes up with the one that is wanted', async () => {
    const updates = 500;
    const longSeconds = 1_000_000;
    await createPod('changing', {
      activeDeadlineSeconds: longSeconds,
      containers: [{ name: 'c', command: ['/bin/sh', '-c', 'while :; do sleep 1; done'] }],
    });
    const pods = m.client.resource('pods');
    for (let i = 1; i <= updates; i++) {
      const body = { spec: { activeDeadlineSeconds: longSeconds - i } };
      await pods.patch({ namespace: 'default', name: 'changing' }, { type: 'merge', body });
    }
    const seen = await podWhen('changing', 'is seen as it is', (pod) => pod.status?.observedGeneration === 1 + updates);
    assert.equal(seen.metadata.generation, 1 + updates);
    await podWhen('changing', 'runs', (pod) => pod.status?.phase === 'Running');
    await deletePod('changing');
  });

  test('runs a pod to completion: environment, volumes, hosts, names, log and termination message', async () => {
    await m.client
      .resource('configmaps')
      .create({ metadata: { name: 'settings', namespace: 'default' }, data: { colour: 'blue', 'a.txt': 'file a' } });
    const secret = { data: { password: Buffer.from('s3cret').toString('base64') } };
    await m.client.resource('secrets').create({ metadata: { name: 'keys', namespace: 'default' }, ...secret });
    const script = [
      'echo "colour=$COLOUR pass=$PASS me=$ME ip=$IP greeting=$GREETING cpu=$CPU"',
      'cat /config/a.txt; echo; cat /down/labels; echo; cat /one/file; echo',
      'cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo',
      'hostname; cat /etc/resolv.conf; cat /etc/hosts',
      'touch /scratch/x && ls /scratch; id',
      'echo -n "last words" > /dev/termination-log; exit 3',
    ].join('; ');
    await createPod('worker', {
      restartPolicy: 'Never',
      hostAliases: [{ ip: '10.1.2.3', hostnames: ['friend'] }],
      securityContext: { runAsUser: 1234, runAsGroup: 2345, fsGroup: 3456 },
      volumes: [
        { name: 'config', configMap: { name: 'settings' } },
        { name: 'down', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
        { name: 'scratch', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      ],
      containers: [
        {
          name: 'main',
          command: ['/bin/sh', '-c', script],
          resources: { limits: { cpu: '250m', memory: '64Mi' } },
          env: [
            { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
            { name: 'PASS', valueFrom: { secretKeyRef: { name: 'keys', key: 'password' } } },
            { name: 'ME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'GREETING', value: 'hello $(ME)' },
            { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
          ],
          volumeMounts: [
            { name: 'config', mountPath: '/config' },
            { name: 'down', mountPath: '/down' },
            { name: 'scratch', mountPath: '/scratch' },
            { name: 'config', mountPath: '/one/file', subPath: 'colour' },
          ],
        },
      ],
    });
    const pod = await podWhen('worker', 'ends', ended);
    assert.equal(pod.status?.phase, 'Failed');
    const state = pod.status?.containerStatuses?.[0]?.state?.terminated;
    assert.equal(state?.exitCode, 3);
    assert.equal(state?.message, 'last words');
    const { code, body } = await ask('/containerLogs/default/worker/main');
    assert.equal(code, 200);
    assert.match(body, /colour=blue pass=s3cret me=worker ip=10\.198\.7\.\d+ greeting=hello worker cpu=250\n/);
    const [, token = ''] = /file a\napp="worker"\nblue\n(\S+)\nworker\n/.exec(body) ?? [];
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    assert.equal(claims.sub, 'system:serviceaccount:default:default');
    assert.equal(claims['kubernetes.io'].pod.uid, pod.metadata.uid);
    assert.match(body, /search default\.svc\.cluster\.local svc\.cluster\.local cluster\.local/);
    assert.match(body, /nameserver 10\.96\.0\.10\n/);
    assert.match(body, /10\.1\.2\.3\tfriend/);
    assert.match(body, /x\nuid=1234 gid=2345 groups=2345,3456/);
    const seen = await until('events', async () => {
      const all = await events('worker');
      return all.some((e) => e.reason === 'Started') ? all : undefined;
    });
    assert.deepEqual(
      seen
        .map((e) => e.message)
        .filter((t) => /^Container (created|started)$/.test(t))
        .sort(),
      ['Container created', 'Container started'],
    );
    await deletePod('worker');
    await until('its directory is gone', async () => {
      const path = join(m.directory, 'kubelet', 'pods', pod.metadata.uid!);
      return (await readFile(path).catch((e: NodeJS.ErrnoException) => e.code)) === 'ENOENT';
    });
  });

  test('init containers, a sidecar, readiness, logs that are followed, and live ConfigMaps', async () => {
    await m.client
      .resource('configmaps')
      .create({ metadata: { name: 'live', namespace: 'default' }, data: { v: 'one' } });
    await createPod('app', {
      volumes: [
        { name: 'shared', emptyDir: {} },
        { name: 'live', configMap: { name: 'live' } },
      ],
      initContainers: [
        {
          name: 'first',
          image: IMAGE,
          command: ['/bin/sh', '-c', 'echo done > /shared/first'],
          volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
        },
        {
          name: 'side',
          image: IMAGE,
          restartPolicy: 'Always',
          command: ['/bin/sh', '-c', 'trap "exit 0" TERM; cat /shared/first; while :; do sleep 1; done'],
          volumeMounts: [{ name: 'shared', mountPath: '/shared' }],
        },
      ],
      containers: [
        {
          name: 'main',
          command: [
            '/bin/sh',
            '-c',
            'trap "exit 0" TERM; echo up; sleep 1; touch /tmp/ready; while :; do cat /live/v; echo; sleep 1; done',
          ],
          readinessProbe: { exec: { command: ['test', '-f', '/tmp/ready'] }, periodSeconds: 1 },
          volumeMounts: [{ name: 'live', mountPath: '/live' }],
        },
      ],
    });
    const pod = await podWhen('app', 'is ready', isReady);
    assert.equal(pod.status?.phase, 'Running');
    assert.equal(pod.status?.initContainerStatuses?.[0]?.state?.terminated?.exitCode, 0);
    assert.equal(pod.status?.initContainerStatuses?.[1]?.ready, true);
    assert.match((await ask('/containerLogs/default/app/side')).body, /^done\n/);
    const live = await m.client.resource('configmaps').get({ namespace: 'default', name: 'live' });
    await m.client.resource('configmaps').update({ ...live, data: { v: 'two' } });
    await until('the new value is read', async () => {
      return /two/.test((await ask('/containerLogs/default/app/main?tailLines=1')).body);
    });
    assert.equal((await ask('/containerLogs/default/app/main?tailLines=2')).body.split('\n').length, 3);
    await deletePod('app');
  });

  test('a crashing container backs off; a failing liveness probe restarts', async () => {
    await createPod('crash', { containers: [{ name: 'c', command: ['/bin/sh', '-c', 'echo run; exit 1'] }] });
    await createPod('sick', {
      containers: [
        {
          name: 'c',
          command: ['/bin/sh', '-c', 'while :; do sleep 1; done'],
          livenessProbe: { exec: { command: ['test', '-f', '/never'] }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    });
    const crash = await podWhen(
      'crash',
      'backs off',
      (p) => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff',
    );
    const status = crash.status!.containerStatuses![0]!;
    assert.equal(status.restartCount, 1);
    assert.equal(status.lastState?.terminated?.exitCode, 1);
    assert.match(
      status.state?.waiting?.message ?? '',
      /^back-off 10s restarting failed container=c pod=crash_default\(/,
    );
    assert.equal(crash.status?.phase, 'Running');
    await podWhen('sick', 'is restarted', (p) => (p.status?.containerStatuses?.[0]?.restartCount ?? 0) >= 1);
    const messages = (await events('sick')).map((e) => e.message);
    assert.ok(messages.includes('Container c failed liveness probe, will be restarted'), messages.join('\n'));
    await Promise.all([deletePod('crash'), deletePod('sick')]);
  });

  test('reasons why a container does not run', async () => {
    await createPod('no-image', {
      containers: [{ name: 'c', image: 'test.local/missing:1', imagePullPolicy: 'Never' }],
    });
    await createPod('no-config', {
      containers: [{ name: 'c', env: [{ name: 'X', valueFrom: { configMapKeyRef: { name: 'absent', key: 'k' } } }] }],
    });
    await createPod('no-command', { containers: [{ name: 'c', command: ['/not/there'] }] });
    await createPod('too-big', { containers: [{ name: 'c', resources: { requests: { cpu: '4000' } } }] });
    const waiting = async (name: string, reason: string): Promise<string> => {
      const pod = await podWhen(
        name,
        reason,
        (p) => p.status?.containerStatuses?.[0]?.state?.waiting?.reason === reason,
      );
      return pod.status?.containerStatuses?.[0]?.state?.waiting?.message ?? '';
    };
    assert.match(await waiting('no-image', 'ErrImageNeverPull'), /is not present with pull policy of Never$/);
    assert.equal(await waiting('no-config', 'CreateContainerConfigError'), 'configmap "absent" not found');
    assert.match(await waiting('no-command', 'RunContainerError'), /no such file or directory/);
    const big = await podWhen('too-big', 'is refused', ended);
    assert.equal(big.status?.reason, 'OutOfcpu');
    await Promise.all(['no-image', 'no-config', 'no-command', 'too-big'].map(deletePod));
  });

  test('memory limits, HTTP probes of the pod address, hooks, and what the runtime cannot do', async () => {
    await createPod('web', {
      terminationGracePeriodSeconds: 5,
      containers: [
        {
          name: 'c',
          command: ['/bin/sh', '-c', 'trap "exit 0" TERM; httpd -p 8080 -h /etc; while :; do sleep 1; done'],
          ports: [{ name: 'http', containerPort: 8080 }],
          readinessProbe: { httpGet: { path: '/passwd', port: 'http' }, periodSeconds: 1 },
          lifecycle: {
            postStart: { exec: { command: ['touch', '/tmp/started'] } },
            preStop: { exec: { command: ['/bin/sh', '-c', 'echo stopping > /proc/1/fd/1'] } },
          },
        },
      ],
    });
    await createPod('private', { hostUsers: false, containers: [{ name: 'c', command: ['sleep', '9'] }] });
    await runsOutOfMemory();
    await podWhen('web', 'is ready', isReady);
    await until('the refusal', async () => {
      const refusal =
        "Failed to create pod sandbox: can't set `spec.hostUsers: false`, runtime does not support user namespaces";
      return (await events('private')).some((e) => e.reason === 'FailedCreatePodSandBox' && e.message === refusal);
    });
    assert.equal((await getPod('private'))?.status?.phase, 'Pending');
    const following = ask('/containerLogs/default/web/c?follow=true');
    await Promise.all([deletePod('web'), deletePod('private')]);
    assert.match((await following).body, /stopping\n$/);
  });

  test('an image is a volume: read only, by its pull policy, whole or in part, and gone with its pod', async () => {
    const below = { 'data.json': 'hidden', 'etc/os-release': 'Alpine Linux' };
    const files = await serveImage('files', below, { 'data.json': '{"kitten.jpg":1}', 'run.sh': 'exit 0' });
    const image = { reference: files.reference, pullPolicy: 'Always' as const };
    const volumes = [{ name: 'volume', image }];
    const volumeMounts = [
      { name: 'volume', mountPath: '/volume' },
      { name: 'volume', mountPath: '/part', subPath: 'etc' },
    ];
    const command = ['/bin/sh', '-c', 'trap exit TERM; while :; do sleep 1; done'];
    const pod = await createPod('pictured', { volumes, containers: [{ name: 'c', command, volumeMounts }] });
    const running = await podWhen('pictured', 'is ready', isReady);
    const cri = connectCri(m.socket, env.clock);
    const snapshots = async () => (await run('ctr', ['-a', m.socket, '-n', 'k8s.io', 'snapshots', 'ls'])).stdout;
    try {
      const inside = async (line: string): Promise<readonly [string, number]> => {
        const id = running.status!.containerStatuses![0]!.containerID!.replace('containerd://', '');
        const { stdout, exitCode } = await cri.execSync(id, ['sh', '-c', line], 10);
        return [stdout.toString(), exitCode];
      };
      assert.deepEqual(await inside('cat /volume/data.json /part/os-release'), ['{"kitten.jpg":1}Alpine Linux', 0]);
      assert.notEqual((await inside('touch /volume/new'))[1], 0);
      assert.notEqual((await inside('/volume/run.sh'))[1], 0);
      assert.equal(files.pulls() > 0, true);
      assert.match(await snapshots(), new RegExp(`tsukube-image-volume/${pod.metadata.uid}/volume`));

      // A kubelet that is started again leaves it as it is; the image may go meanwhile.
      m.stop.abort();
      await m.kubelet.ended;
      await cri.removeImage(files.reference);
      await startKubelet();
      await until('the node is ready', () => m.kubelet.ready);
      await podWhen('pictured', 'is ready', isReady);
      assert.deepEqual(await inside('cat /volume/data.json'), ['{"kitten.jpg":1}', 0]);
      await deletePod('pictured');
      assert.doesNotMatch(await snapshots(), /tsukube-image-volume/);
      assert.doesNotMatch(await readFile('/proc/self/mountinfo', 'utf8'), new RegExp(`${pod.metadata.uid}/volumes`));

      const absent = { reference: 'test.local/absent:1', pullPolicy: 'Never' as const };
      const lacking = [{ name: 'volume', image: absent }];
      await createPod('lacking', { volumes: lacking, containers: [{ name: 'c', command, volumeMounts }] });
      await podWhen('lacking', 'says what it waits for', (p) => {
        return p.status?.containerStatuses?.[0]?.state?.waiting?.reason === 'ErrImageNeverPull';
      });
      await deletePod('lacking');

      // One layer is mounted in another way than several.
      const one = [{ name: 'volume', image: { reference: IMAGE, pullPolicy: 'IfNotPresent' as const } }];
      const reads = ['/bin/sh', '-c', 'cat /volume/etc/passwd && ! touch /volume/x && ! /volume/bin/busybox true'];
      const once = { name: 'c', command: reads, volumeMounts: [volumeMounts[0]!] };
      await createPod('single', { restartPolicy: 'Never', volumes: one, containers: [once] });
      assert.equal((await podWhen('single', 'ends', ended)).status?.phase, 'Succeeded');
      await deletePod('single');
      // A pod that has ended leaves the API at once, and the node a moment later.
      await until('its image is given back', async () => !/tsukube-image-volume/.test(await snapshots()));
    } finally {
      cri.close();
      await files.close();
    }
  });

  test('a new kubelet takes up what runs; containerd killed, containers stay', async () => {
    await createPod('stays', { containers: [{ name: 'c', command: ['/bin/sh', '-c', 'while :; do sleep 1; done'] }] });
    await createPod('forgotten', {
      containers: [{ name: 'c', command: ['/bin/sh', '-c', 'while :; do sleep 1; done'] }],
    });
    const before = await podWhen('stays', 'is ready', isReady);
    const forgotten = await podWhen('forgotten', 'is ready', isReady);
    m.stop.abort();
    await m.kubelet.ended;
    const { uid } = forgotten.metadata;
    await m.client.resource('pods').delete({ namespace: 'default', name: 'forgotten' }, { gracePeriodSeconds: 0 });
    const pid = Number(await readFile(join(m.containerd.stateDir, 'containerd.pid'), 'utf8'));
    process.kill(pid, 'SIGKILL');
    await until('containerd is back', async () => {
      const now = Number(await readFile(join(m.containerd.stateDir, 'containerd.pid'), 'utf8'));
      return now !== pid;
    });
    await startKubelet();
    await until('the node is ready', () => m.kubelet.ready);
    await until('the forgotten pod is removed', async () => {
      const cri = connectCri(m.socket, env.clock);
      const left = await cri
        .listPodSandboxes({ labelSelector: { 'io.kubernetes.pod.uid': uid! } })
        .finally(() => cri.close());
      return left.length === 0;
    });
    const now = await podWhen('stays', 'is ready', isReady);
    assert.equal(now.status?.containerStatuses?.[0]?.containerID, before.status?.containerStatuses?.[0]?.containerID);
    assert.equal(now.status?.containerStatuses?.[0]?.restartCount, 0);
    assert.equal(now.status?.podIP, before.status?.podIP);
    await deletePod('stays');
  });

  test('the server knows its callers, and streams', async () => {
    await createPod('shell', { containers: [{ name: 'c', command: ['/bin/sh', '-c', 'while :; do sleep 1; done'] }] });
    await podWhen('shell', 'is ready', isReady);
    assert.equal((await ask('/pods', false)).code, 401);
    assert.equal((await ask('/healthz')).body, 'ok');
    assert.ok(JSON.parse((await ask('/pods')).body).items.some((p: Pod) => p.metadata.name === 'shell'));
    const summary = JSON.parse((await ask('/stats/summary')).body);
    assert.ok(
      summary.pods.find((p: { podRef: { name: string } }) => p.podRef.name === 'shell').memory.workingSetBytes > 0,
    );
    assert.match(
      (await ask('/metrics/resource')).body,
      /container_memory_working_set_bytes\{container="c",namespace="default",pod="shell"\} \d/,
    );
    assert.match((await ask('/metrics')).body, /kubelet_running_pods\{node="node-1"\} 1/);
    assert.equal((await ask('/exec/default/shell/c?command=ls&output=1')).code, 400);
    assert.equal((await ask('/containerLogs/default/shell/other')).code, 404);
    assert.match(await execWebSocket('/exec/default/shell/c?command=echo&command=streamed&output=1'), /streamed/);
    await deletePod('shell');
  });
});

/** Runs a command over the v4 WebSocket protocol; returns what came back, frames and all. */
function execWebSocket(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Key': Buffer.alloc(16, 7).toString('base64'),
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Protocol': 'v4.channel.k8s.io',
    };
    const identity = { key: m.tls.clientKey, cert: m.tls.clientCert, rejectUnauthorized: false };
    const sent = request({ host: '127.0.0.1', port: m.kubelet.port, path, headers, agent: false, ...identity });
    sent.on('upgrade', (_response, socket, head) => {
      let text = head.toString('latin1');
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
      });
      socket.on('close', () => resolve(text));
      socket.on('end', () => socket.end());
    });
    sent.on('response', (response) => reject(new Error(`answered ${response.statusCode} instead of upgrading`)));
    sent.on('error', reject);
    sent.end();
  });
}
