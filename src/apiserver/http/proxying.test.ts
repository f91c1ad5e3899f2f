// Connections that lead on to kubelets, pods and services.
import assert from 'node:assert/strict';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { gunzipSync, gzipSync } from 'node:zlib';
import { until } from '../../lib/test-until.ts';
import { issue } from '../auth/certificates.ts';
import { admin, certificates, http1, http2, server } from '../test-server.ts';

describe('to kubelets, pods and services', () => {
  let kubelet: Server;
  let upstream: Server;
  let asked: { url: string; user: string }[] = [];

  before(async () => {
    const serving = issue(server.ca!, {
      commonName: 'system:node:n',
      sans: ['127.0.0.1'],
      usages: ['server'],
      ...certificates,
    });
    const tls = { cert: serving.certificate, key: serving.key, ca: server.caCertificate, requestCert: true };
    const https = createHttpsServer(tls, (request, response) => {
      const { CN } = (
        request.socket as unknown as { getPeerCertificate(): { subject: { CN: string } } }
      ).getPeerCertificate().subject;
      asked.push({ url: request.url!, user: CN });
      if (request.url!.includes('previous'))
        response.writeHead(400).end('previous terminated container "c" in pod "p" not found\n');
      else response.end('line 1\nline 2\n');
    });
    https.on('upgrade', (request, socket, head) => {
      asked.push({ url: request.url!, user: request.headers.authorization ?? 'no credentials of the client' });
      if (request.headers.upgrade === 'websocket') {
        // Left open and joined to something else by then, as a kubelet's is to the runtime's streaming server.
        socket.write('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
        return;
      }
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
      socket.write(head);
      socket.pipe(socket);
    });
    kubelet = https;
    upstream = createHttpServer((request, response) => {
      const page = '<a href="/rewriteme">é</a>';
      const html = { 'content-type': 'text/html; charset=utf-8', 'access-control-allow-origin': '*' };
      if (request.url === '/moved') response.writeHead(302, { location: '/elsewhere' }).end();
      else if (request.url === '/page') response.writeHead(200, html).end(page);
      else if (request.url === '/packed')
        response.writeHead(200, { ...html, 'content-encoding': 'gzip' }).end(gzipSync(page));
      else response.end(`${request.method} ${request.url} ${request.headers['x-forwarded-proto']}`);
    });
    for (const one of [kubelet, upstream]) await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
    const { port } = kubelet.address() as AddressInfo;
    await http2('POST', '/api/v1/namespaces/default/serviceaccounts', { body: { metadata: { name: 'default' } } });
    const node = { metadata: { name: 'n' } };
    const nodeStatus = {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
    };
    await http2('POST', '/api/v1/nodes', { body: node });
    await http2('PUT', '/api/v1/nodes/n/status', { body: { ...node, status: nodeStatus } });
    const pods = '/api/v1/namespaces/default/pods';
    const containers = [
      { name: 'c', image: 'x' },
      { name: 'd', image: 'x' },
    ];
    const pod = { metadata: { name: 'p' }, spec: { containers, nodeName: 'n' } };
    const created = await http2('POST', pods, { body: pod });
    assert.equal(created.status, 201, created.text);
    await http2('PUT', `${pods}/p/status`, { body: { ...created.json, status: { podIP: '127.0.0.1' } } });
    const pending = await http2('POST', pods, {
      body: { metadata: { name: 'pending' }, spec: { containers: [containers[0]] } },
    });
    assert.equal(pending.status, 201, pending.text);
  });
  after(async () => {
    for (const one of [kubelet, upstream]) await new Promise((resolve) => one.close(resolve));
  });

  const POD = '/api/v1/namespaces/default/pods/p';

  test('logs come from the kubelet, asked as the API server', async () => {
    asked = [];
    const logs = await http2('GET', `${POD}/log?container=c&tailLines=5&timestamps=true`);
    assert.deepEqual([logs.status, logs.text], [200, 'line 1\nline 2\n']);
    assert.deepEqual(asked, [
      { url: '/containerLogs/default/p/c?tailLines=5&timestamps=true', user: 'kube-apiserver-kubelet-client' },
    ]);
    assert.equal((await http1('GET', `${POD}/log?container=c&follow=true`)).text, 'line 1\nline 2\n');
  });

  test('what the kubelet refuses and what can be known before is refused', async () => {
    const previous = await http2('GET', `${POD}/log?container=c&previous=true`);
    assert.deepEqual(
      [previous.status, previous.json.message],
      [400, 'previous terminated container "c" in pod "p" not found'],
    );
    const ambiguous = await http2('GET', `${POD}/log`);
    assert.equal(ambiguous.json.message, 'a container name must be specified for pod p, choose one of: [c d]');
    const unknown = await http2('GET', `${POD}/log?container=e`);
    assert.equal(unknown.json.message, 'container e is not valid for pod p');
    const nowhere = await http2('GET', '/api/v1/namespaces/default/pods/pending/log');
    assert.deepEqual([nowhere.status, nowhere.text], [200, '']);
    const exec = await http2('POST', `${POD}/exec?container=c&stdout=true&command=ls`);
    assert.deepEqual([exec.status, exec.json.message], [400, 'Upgrade request required']);
  });

  /** An upgrade by hand: what comes back until the server closes or `seen` is there. */
  async function upgrade(path: string, protocol: string, say: string, seen: RegExp, headers = ''): Promise<string> {
    const at = { host: '127.0.0.1', port: server.port, ALPNProtocols: ['http/1.1'] };
    const socket = connectTls({ ...at, ca: server.caCertificate, cert: admin.certificate, key: admin.key });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${headers}\r\n${say}`,
    );
    await until(`${path} gives ${seen}`, () => seen.test(text) || socket.destroyed);
    socket.destroy();
    return text;
  }

  test('exec joins the sockets of client and kubelet', async () => {
    asked = [];
    const path = `${POD}/exec?container=d&command=echo&command=a%20b&stdin=true&stdout=true&tty=false`;
    const text = await upgrade(
      path,
      'SPDY/3.1',
      'hello kubelet',
      /hello kubelet/,
      'Authorization: Bearer viewer-token\r\n',
    );
    assert.match(text, /^HTTP\/1\.1 101 Switching Protocols\r\n[\s\S]*Upgrade: SPDY\/3\.1\r\n\r\nhello kubelet$/);
    assert.deepEqual(asked, [
      { url: '/exec/default/p/d?command=echo&command=a+b&input=1&output=1', user: 'no credentials of the client' },
    ]);
  });

  test('a refused upgrade reaches the client, which then tries another protocol', async () => {
    const text = await upgrade(`${POD}/exec?container=c&command=x&stdout=true`, 'websocket', '', /no$/);
    assert.match(text, /^HTTP\/1\.1 403 Forbidden\r\n/);
    // Nothing else is asked over a connection that was asked for an upgrade.
    assert.equal((await http2('GET', `${POD}/log?container=c`)).text, 'line 1\nline 2\n');
  });

  test('port-forward needs no container', async () => {
    asked = [];
    await upgrade(`${POD}/portforward?ports=80`, 'SPDY/3.1', 'x', /x$/);
    assert.equal(asked[0]?.url, '/portForward/default/p?ports=80');
  });

  test('the proxy subresource reaches the pod and keeps redirects within', async () => {
    const { port } = upstream.address() as AddressInfo;
    const proxy = `/api/v1/namespaces/default/pods/p:${port}/proxy`;
    assert.equal((await http2('GET', `${proxy}/some/path?q=1`)).text, 'GET /some/path?q=1 https');
    assert.equal((await http1('POST', `${proxy}/x`, { body: {} })).text, 'POST /x https');
    assert.equal((await http2('GET', `${proxy}/moved`)).headers.location, `${proxy}/elsewhere`);
    const link = `<a href="${proxy}/rewriteme">é</a>`;
    const page = await http2('GET', `${proxy}/page`);
    assert.deepEqual([page.text, page.headers['access-control-allow-origin']], [link, undefined]);
    const head = await http2('HEAD', `${proxy}/packed`);
    assert.deepEqual([head.status, head.text], [200, '']);
    const packed = await http2('GET', `${proxy}/packed`);
    assert.equal(gunzipSync(packed.raw).toString(), link);
    const bare = await http2('GET', proxy);
    assert.deepEqual([bare.status, bare.headers.location], [301, `${proxy}/`]);
    const none = await http2('GET', '/api/v1/namespaces/default/pods/p:1/proxy/');
    assert.equal(none.status, 503);
  });

  test('a policy sees the path that is asked for, and may send the request to another', async () => {
    const group = '/apis/admissionregistration.k8s.io/v1';
    const matchConstraints = {
      resourceRules: [{ operations: ['CONNECT'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/proxy'] }],
    };
    const { port } = upstream.address() as AddressInfo;
    const proxied = (path: string) => http2('GET', `/api/v1/namespaces/default/pods/p:${port}/proxy${path}`);
    const jsonPatch = { expression: "[JSONPatch{op: 'replace', path: '/path', value: '/taken elsewhere?x'}]" };
    const matchConditions = [{ name: 'c', expression: "object.path == '/from here/x'" }];
    const mutations = [{ patchType: 'JSONPatch', jsonPatch }];
    const spec = { matchConstraints, matchConditions, mutations, reinvocationPolicy: 'Never', failurePolicy: 'Fail' };
    const made = await http2('POST', `${group}/mutatingadmissionpolicies`, { body: { metadata: { name: 'p' }, spec } });
    assert.equal(made.status, 201, made.text);
    const bound = { metadata: { name: 'p' }, spec: { policyName: 'p' } };
    await http2('POST', `${group}/mutatingadmissionpolicybindings`, { body: bound });
    await until('the policy is asked', async () => (await proxied('/from%20here/x')).text.includes('elsewhere'));
    assert.equal((await proxied('/from%20here/x?a=b')).text, 'GET /taken%20elsewhere%3Fx?a=b https');
    assert.equal((await proxied('/other%20x?path=/from%20here/x')).text, 'GET /other%20x?path=/from%20here/x https');
    await http2('DELETE', `${group}/mutatingadmissionpolicybindings/p`);
  });

  test('a service is reached through a ready endpoint', async () => {
    const { port } = upstream.address() as AddressInfo;
    const service = { metadata: { name: 's' }, spec: { ports: [{ name: 'web', port: 80 }] } };
    const made = await http2('POST', '/api/v1/namespaces/default/services', { body: service });
    assert.equal(made.status, 201, made.text);
    const through = () => http2('GET', '/api/v1/namespaces/default/services/s:web/proxy/ok');
    assert.deepEqual(
      [(await through()).status, (await through()).json.message],
      [503, 'no endpoints available for service "s"'],
    );
    const targetRef = { kind: 'Pod', namespace: 'default', name: 'p' };
    const slice = {
      metadata: { name: 's-1', labels: { 'kubernetes.io/service-name': 's' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['127.0.0.1'], conditions: { ready: true }, targetRef }],
      ports: [{ name: 'web', port }],
    };
    await http2('POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', { body: slice });
    const text = await until('there is an endpoint', async () => {
      const answer = await through();
      return answer.status !== 503 && answer.text;
    });
    assert.equal(text, 'GET /ok https');
  });
});

describe('what a proxy must not reach', () => {
  const PODS = '/api/v1/namespaces/default/pods';
  const at = async (name: string, podIP: string): Promise<void> => {
    const containers = [{ name: 'c', image: 'x' }];
    const made = await http2('POST', PODS, { body: { metadata: { name }, spec: { containers, nodeName: 'n' } } });
    assert.equal(made.status, 201, made.text);
    const written = await http2('PUT', `${PODS}/${name}/status`, { body: { ...made.json, status: { podIP } } });
    assert.equal(written.status, 200, written.text);
  };

  test('a pod or a node that says it is at an address that is not its own', async () => {
    await at('liar', '127.0.0.2');
    const pod = await http2('GET', `${PODS}/liar:80/proxy/`);
    assert.deepEqual([pod.status, pod.json.message], [400, 'address not allowed']);
    for (const [name, address] of [
      ['metadata', { type: 'InternalIP', address: '169.254.169.254' }],
      ['loopback', { type: 'Hostname', address: 'localhost.localdomain.invalid' }],
    ] as const) {
      const node = { metadata: { name } };
      assert.equal((await http2('POST', '/api/v1/nodes', { body: node })).status, 201);
      await http2('PUT', `/api/v1/nodes/${name}/status`, { body: { ...node, status: { addresses: [address] } } });
      for (const port of ['', ':10250', ':80'])
        assert.equal((await http2('GET', `/api/v1/nodes/${name}${port}/proxy/`)).status, 400, `${name}${port}`);
    }
  });

  test('an endpoint that no pod of the namespace has', async () => {
    const service = { metadata: { name: 'trap' }, spec: { ports: [{ name: 'web', port: 80 }] } };
    assert.equal((await http2('POST', '/api/v1/namespaces/default/services', { body: service })).status, 201);
    const pod = { kind: 'Pod', namespace: 'default' };
    const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
    const body = {
      metadata: { name: 'trap-1', labels: { 'kubernetes.io/service-name': 'trap' } },
      addressType: 'IPv4',
      endpoints: [
        { addresses: ['127.0.0.1'] },
        { addresses: ['127.0.0.1'], targetRef: { ...pod, name: 'nobody' } },
        { addresses: ['127.0.0.1'], targetRef: { ...pod, name: 'liar' } },
        { addresses: ['127.0.0.1'], targetRef: { ...pod, name: 'p', namespace: 'kube-system' } },
        { addresses: ['127.0.0.1'], targetRef: { ...pod, kind: 'Node', name: 'p' } },
        { addresses: ['127.0.0.2'], targetRef: { ...pod, name: 'liar' } },
      ],
      ports: [{ name: 'web', port: server.port }],
    };
    const made = await http2('POST', slices, { body });
    assert.ok(made.status === 201 || made.status === 422, made.text);
    await until('the slice is known', async () =>
      (await http2('GET', `${slices}?resourceVersion=0`)).text.includes('trap-1'),
    );
    for (let i = 0; i < 5; i++) {
      const answer = await http2('GET', '/api/v1/namespaces/default/services/https:trap:web/proxy/');
      assert.deepEqual([answer.status, answer.json.message], [503, 'no endpoints available for service "trap"']);
    }
  });

  test('the API server’s certificate is for the kubelet’s port alone', async () => {
    const seen: string[] = [];
    const serving = issue(server.ca!, { commonName: 'x', sans: ['127.0.0.1'], usages: ['server'], ...certificates });
    const tls = { cert: serving.certificate, key: serving.key, ca: server.caCertificate, requestCert: true };
    const listeners = [0, 1].map(() =>
      createHttpsServer({ ...tls, rejectUnauthorized: false }, (request, response) => {
        const socket = request.socket as unknown as { getPeerCertificate(): { subject?: { CN: string } } };
        seen.push(socket.getPeerCertificate().subject?.CN ?? 'nobody');
        response.end('ok');
      }),
    );
    for (const one of listeners) await new Promise<void>((resolve) => one.listen(0, '127.0.0.1', resolve));
    try {
      const [kubelet, other] = listeners.map((one) => (one.address() as AddressInfo).port);
      const node = { metadata: { name: 'two' } };
      const addresses = [{ type: 'InternalIP', address: '127.0.0.1' }];
      await http2('POST', '/api/v1/nodes', { body: node });
      const status = { addresses, daemonEndpoints: { kubeletEndpoint: { Port: kubelet } } };
      await http2('PUT', '/api/v1/nodes/two/status', { body: { ...node, status } });
      for (const [name, who] of [
        ['two', 'kube-apiserver-kubelet-client'],
        [`two:${kubelet}`, 'kube-apiserver-kubelet-client'],
        [`https:two:${kubelet}`, 'kube-apiserver-kubelet-client'],
        [`https:two:${other}`, 'nobody'],
      ] as const) {
        seen.length = 0;
        assert.equal((await http2('GET', `/api/v1/nodes/${name}/proxy/x`)).text, 'ok', name);
        assert.deepEqual(seen, [who], name);
      }
      // Plain HTTP is spoken to other ports, as it was asked for.
      assert.equal((await http2('GET', `/api/v1/nodes/two:${other}/proxy/x`)).status, 503);
      for (const port of ['0', '65536', 'x', '-1', '1e3', '__proto__'])
        assert.equal((await http2('GET', `/api/v1/nodes/two:${port}/proxy/x`)).status, 400, port);
    } finally {
      for (const one of listeners) {
        one.closeAllConnections();
        await new Promise((resolve) => one.close(resolve));
      }
    }
  });
});
