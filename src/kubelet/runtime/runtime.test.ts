import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '../../api/generated/types.ts';
import { aContainer, aPod } from '../pod/fixtures.ts';
import { containerConfig, verifyRunAsNonRoot } from './container-config.ts';
import { hostsFile, podDns, podNames } from './dns.ts';
import { containerResources, cpuQuota, cpuShares, cpuWeight, oomScoreAdj, podCgroup } from './resources.ts';
import { sandboxConfig } from './sandbox-config.ts';

const dnsOptions = {
  clusterDns: ['10.96.0.10'],
  clusterDomain: 'cluster.local',
  hostResolvConf: '# comment\nnameserver 1.1.1.1\nsearch corp.example.\noptions ndots:1\n',
};
const image = { id: 'sha256:i', repoTags: [], repoDigests: [], size: '1', uid: null, username: '', pinned: false };

test('resolv.conf by policy', () => {
  assert.deepEqual(podDns(aPod(), dnsOptions), {
    servers: ['10.96.0.10'],
    searches: ['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'corp.example'],
    options: ['ndots:5'],
  });
  const host = { servers: ['1.1.1.1'], searches: ['corp.example'], options: ['ndots:1'] };
  assert.deepEqual(podDns(aPod({ dnsPolicy: 'Default' }), dnsOptions), host);
  assert.deepEqual(podDns(aPod({ hostNetwork: true }), dnsOptions), host);
  assert.deepEqual(podDns(aPod({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), dnsOptions).servers, [
    '10.96.0.10',
  ]);
  const dnsConfig = {
    nameservers: ['9.9.9.9', '10.96.0.10'],
    searches: ['x'],
    options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
  };
  assert.deepEqual(podDns(aPod({ dnsPolicy: 'None', dnsConfig }), dnsOptions), {
    servers: ['9.9.9.9', '10.96.0.10'],
    searches: ['x'],
    options: ['ndots:2', 'edns0'],
  });
  assert.deepEqual(podDns(aPod({ dnsConfig }), dnsOptions).servers, ['10.96.0.10', '9.9.9.9']);
});

test('host names and /etc/hosts', () => {
  const plain = podNames(aPod(), 'cluster.local');
  assert.deepEqual(plain, { hostname: 'web', fqdn: undefined });
  const named = aPod({ hostname: 'db-0', subdomain: 'db', hostAliases: [{ ip: '1.2.3.4', hostnames: ['a', 'b'] }] });
  const names = podNames(named, 'cluster.local');
  assert.deepEqual(names, { hostname: 'db-0', fqdn: 'db-0.db.shop.svc.cluster.local' });
  const text = hostsFile(named, ['10.0.0.7'], names, '');
  assert.match(
    text,
    /\n10\.0\.0\.7\tdb-0\.db\.shop\.svc\.cluster\.local\tdb-0\n\n# Entries added by HostAliases\.\n1\.2\.3\.4\ta\tb\n$/,
  );
  assert.match(
    hostsFile(aPod({ hostNetwork: true }), [], plain, '127.0.0.1 me\n'),
    /host network\)\.\n127\.0\.0\.1 me\n$/,
  );
  const long = podNames(aPod({}, { name: `${'a'.repeat(62)}-b` }), 'cluster.local');
  assert.equal(long.hostname, 'a'.repeat(62));
});

test('shares, quotas, weights and the order of killing', () => {
  assert.deepEqual([cpuShares(0), cpuShares(1), cpuShares(250), cpuShares(1e9)], [2, 2, 256, 262_144]);
  assert.deepEqual([cpuQuota(0), cpuQuota(1), cpuQuota(250)], [0, 1000, 25_000]);
  assert.deepEqual([cpuWeight(2), cpuWeight(262_144)], [1, 10_000]);
  const burstable = aContainer('main', { resources: { requests: { memory: '1Gi' } } });
  const of = (pod: Pod): number => oomScoreAdj(pod, pod.spec.containers[0]!, 4 * 2 ** 30);
  assert.equal(of(aPod()), 1000);
  assert.equal(of(aPod({ containers: [burstable] })), 750);
  const limits = { cpu: '1', memory: '1Gi' };
  const guaranteed = aPod({ containers: [aContainer('main', { resources: { limits, requests: limits } })] });
  assert.equal(of(guaranteed), -997);
  assert.deepEqual(podCgroup(guaranteed), { cpuShares: 1024, cpuQuota: 100_000, memoryLimitBytes: 2 ** 30 });
  assert.deepEqual(podCgroup(aPod({ containers: [burstable, aContainer('other')] })), { cpuShares: 2 });
});

test('a limit without a request asks for the limit', () => {
  const container = aContainer('main', { resources: { limits: { cpu: '500m', memory: '64Mi' } } });
  const resources = containerResources(aPod({ containers: [container] }), container, {
    memoryBytes: 2 ** 33,
    cgroupV2: true,
  });
  assert.deepEqual(
    [resources.cpuShares, resources.cpuQuota, resources.memoryLimitInBytes],
    [512, 50_000, 64 * 2 ** 20],
  );
  assert.deepEqual(resources.unified, { 'memory.oom.group': '1' });
});

test('the sandbox: names, namespaces, ports, sysctls, groups', () => {
  const pod = aPod({
    shareProcessNamespace: true,
    securityContext: { runAsUser: 1, fsGroup: 7, supplementalGroups: [8], sysctls: [{ name: 'net.x', value: '1' }] },
    containers: [aContainer('main', { ports: [{ containerPort: 80, hostPort: 8080 }, { containerPort: 81 }] })],
  });
  const dns = podDns(pod, dnsOptions);
  const facts = { pod, attempt: 2, hostname: 'web', dns, logDirectory: '/l', cgroupParent: '/c', seccompDir: '/s' };
  const config = sandboxConfig(facts);
  assert.deepEqual(config.metadata, { name: 'web', namespace: 'shop', uid: 'u-1', attempt: 2 });
  assert.deepEqual(config.linux.securityContext.namespaceOptions, { network: 'POD', pid: 'POD', ipc: 'POD' });
  assert.deepEqual(config.portMappings, [{ protocol: 'TCP', containerPort: 80, hostPort: 8080, hostIp: '' }]);
  assert.deepEqual(config.linux.securityContext.supplementalGroups, [8, 7]);
  assert.deepEqual(config.linux.sysctls, { 'net.x': '1' });
  assert.equal(config.labels['io.kubernetes.pod.uid'], 'u-1');
  const host = sandboxConfig({ ...facts, pod: aPod({ hostNetwork: true, hostPID: true }) });
  assert.deepEqual([host.hostname, host.linux.securityContext.namespaceOptions.pid], [undefined, 'NODE']);
});

test('the container: expansion, security, seccomp', () => {
  const container = aContainer('main', {
    command: ['run', '$(A)'],
    args: ['$$(A)', '$(B)'],
    securityContext: {
      runAsUser: 5,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
      seccompProfile: { type: 'Localhost', localhostProfile: 'p.json' },
    },
  });
  const pod = aPod({ containers: [container], securityContext: { runAsUser: 1, runAsGroup: 2 } });
  const config = containerConfig({
    pod,
    container,
    image,
    restartCount: 4,
    environment: [{ name: 'A', value: Buffer.from('x') }],
    mounts: [],
    resources: {},
    terminationHostPath: '/t',
    seccompDir: '/s',
  });
  assert.deepEqual(
    [config.command, config.args],
    [
      ['run', 'x'],
      ['$(A)', '$(B)'],
    ],
  );
  assert.equal(config.logPath, 'main/4.log');
  const security = config.linux.securityContext;
  assert.deepEqual([security.runAsUser, security.runAsGroup], [{ value: 5 }, { value: 2 }]);
  assert.deepEqual(security.capabilities, { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['ALL'] });
  assert.deepEqual([security.noNewPrivs, security.readonlyRootfs], [true, true]);
  assert.deepEqual(security.seccomp, { profileType: 'Localhost', localhostRef: '/s/p.json' });
  assert.ok(security.maskedPaths!.includes('/proc/kcore'));
});

test("user and group: the container's own, else the pod's", () => {
  const ofPod = { runAsUser: 1001, runAsGroup: 2002 };
  const ids = (own: Container['securityContext']): unknown[] => {
    const container = aContainer('main', own ? { securityContext: own } : {});
    const pod = aPod({ containers: [container], securityContext: ofPod });
    const rest = { restartCount: 0, environment: [], mounts: [], resources: {}, terminationHostPath: '/t' };
    const { linux } = containerConfig({ pod, container, image, seccompDir: '/s', ...rest });
    return [linux.securityContext.runAsUser, linux.securityContext.runAsGroup];
  };
  assert.deepEqual(ids(undefined), [{ value: 1001 }, { value: 2002 }]);
  assert.deepEqual(ids({ runAsUser: 1, runAsGroup: 0 }), [{ value: 1 }, { value: 0 }]);
  assert.deepEqual(ids({ runAsGroup: 5 }), [{ value: 1001 }, { value: 5 }]);
});

test('runAsNonRoot is verified', () => {
  const container = aContainer('main', { securityContext: { runAsNonRoot: true } });
  const verify = (user: Partial<typeof image>, more: object = {}): void =>
    verifyRunAsNonRoot(aPod(), { ...container, securityContext: { runAsNonRoot: true, ...more } }, {
      ...image,
      ...user,
    } as typeof image);
  assert.throws(
    () => verify({}),
    /^ContainerConfigError: container has runAsNonRoot and image will run as root \(pod: "web_shop\(u-1\)", container: main\)$/,
  );
  assert.throws(
    () => verify({ username: 'nobody' }),
    /image has non-numeric user \(nobody\), cannot verify user is non-root/,
  );
  assert.throws(() => verify({}, { runAsUser: 0 }), /runAsUser breaks non-root policy/);
  verify({}, { runAsUser: 1 });
  verifyRunAsNonRoot(aPod(), aContainer('main'), image);
});
