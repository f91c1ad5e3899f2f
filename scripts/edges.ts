// Which files of the control plane touch the machine directly, and why each may. Everything else in these layers receives disk,
// network, time, randomness and turns of the event loop from its caller: the simulator can only promise the same run for the
// same seed about code that has no other way to them.

/** The layers that the simulator runs. The others (kubelet, network, proxy, dns, cluster, cli) are the edge themselves. */
const SIMULATED_LAYERS = [
  'lib',
  'api',
  'machinery',
  'store',
  'apiserver',
  'client',
  'controllers',
  'scheduler',
  'simulated',
  'sim',
];

type Access = 'disk' | 'network' | 'process' | 'randomness' | 'time' | 'turns' | 'loading';

/** File of src → what it may touch, and the reason. */
const EDGES: Readonly<Record<string, { readonly may: readonly Access[]; readonly because: string }>> = {
  'apiserver/auth/certificates.ts': {
    may: ['randomness'],
    because: 'private keys come from the operating system; the simulator issues no certificate',
  },
  'apiserver/server.ts': {
    may: ['randomness'],
    because: 'the signing key of tokens, when none is given; the simulator starts the API server without this file',
  },
  'apiserver/auth/service-account-tokens.ts': {
    may: ['loading'],
    because: 'loads jose with the first token; the simulator issues none',
  },
  'apiserver/discovery/descriptions.ts': {
    may: ['disk', 'turns'],
    because: 'reads a data file of the program itself when a client asks for OpenAPI; nobody simulated does',
  },
  'apiserver/http/listener.ts': { may: ['network'], because: 'the HTTPS listener' },
  'apiserver/http/closes-first.ts': { may: ['disk'], because: 'opens /dev/null to hold descriptors for a moment' },
  'apiserver/http/exchange-http1.ts': { may: ['network'], because: 'one HTTP/1.1 exchange of the listener' },
  'apiserver/http/exchange-http2.ts': { may: ['network'], because: 'one HTTP/2 exchange of the listener' },
  'apiserver/http/forward.ts': { may: ['network'], because: 'proxies requests to kubelets, pods and services' },
  'apiserver/http/kubelet-proxy.ts': { may: ['network'], because: 'the connections to kubelets' },
  'apiserver/http/websocket-streams.ts': {
    may: ['loading'],
    because: 'loads ws with the first WebSocket',
  },
  'apiserver/http/service-proxy.ts': { may: ['network'], because: 'the connections to services' },
  'apiserver/http/rewrite-answer.ts': {
    may: ['turns'],
    because: 'unpacks and packs what it rewrites on other threads',
  },
  'apiserver/http/proxyable.ts': { may: ['network'], because: 'looks up the names that requests are proxied to' },
  'store/etcd/connection.ts': { may: ['network'], because: 'the connections to etcd; the simulator uses the model' },
  'apiserver/http/ask.ts': { may: ['network'], because: 'the connections to webhooks and extension API servers' },
  'apiserver/http/response.ts': { may: ['turns'], because: 'compresses answers on other threads' },
  'apiserver/http/list-bodies.ts': { may: ['turns'], because: 'compresses long lists on other threads' },
  'apiserver/http/decode-body.ts': { may: ['loading'], because: 'loads the YAML and protobuf decoders with first use' },
  'apiserver/http/encode.ts': { may: ['loading'], because: 'loads the YAML encoder with first use' },
  'apiserver/cache/cached-object.ts': { may: ['process'], because: 'freezes objects when the environment says test' },
  'store/embedded.ts': { may: ['disk'], because: "the embedded store's directory" },
  'store/lmdb-records.ts': { may: ['disk', 'process'], because: "LMDB's file, and which process has it" },
  'store/lmdb-check.ts': { may: ['disk'], because: "checks LMDB's file before it is opened" },
  'client/connections.ts': { may: ['network'], because: 'the HTTPS client' },
  'client/https.ts': { may: ['disk'], because: 'the HTTPS client: reads a token that is renewed in a file' },
  'client/kubeconfig.ts': { may: ['disk'], because: 'reads kubeconfig files' },
  'lib/turns.ts': { may: ['turns'], because: 'the one place where turns of the event loop come from; it counts them' },
  'sim/virtual-clock.ts': {
    may: ['turns'],
    because: 'looks from outside whether a turn is in flight, and moves time on when none is',
  },
  'lib/fake-clock.ts': { may: ['turns'], because: 'the clock of tests' },
};

const MODULES: Readonly<Record<string, Access>> = {
  fs: 'disk',
  'fs/promises': 'disk',
  os: 'process',
  net: 'network',
  tls: 'network',
  http: 'network',
  https: 'network',
  http2: 'network',
  dgram: 'network',
  dns: 'network',
  'dns/promises': 'network',
  child_process: 'process',
  cluster: 'process',
  worker_threads: 'process',
  process: 'process',
  perf_hooks: 'time',
  timers: 'time',
  'timers/promises': 'time',
  lmdb: 'disk',
  ws: 'network',
  undici: 'network',
  '@grpc/grpc-js': 'network',
};

/** What these modules give that only computes. */
const PURE_NAMES = ['isIP', 'isIPv4', 'isIPv6', 'BlockList'];
const NEEDS_TURNS = /^(?:gzip|gunzip|deflate|inflate|brotliCompress|brotliDecompress|createGzip|createGunzip)$/;
const RANDOM_NAMES =
  /^(?:random\w*|generateKey\w*|generatePrime\w*|getRandomValues|webcrypto|subtle|createECDH|createDiffieHellman\w*)$/;

const WORDS: readonly (readonly [Access, RegExp])[] = [
  ['turns', /(?<![.\w])setImmediate\(|\bprocess\.nextTick\(|\bnew MessageChannel\(/g],
  ['time', /\bprocess\.hrtime\b|\bperformance\.\w+/g],
  ['randomness', /\bcrypto\.(?:subtle|getRandomValues|randomUUID)\b/g],
  ['process', /\bprocess\.(?:env|pid|on|once|cwd|uptime|memoryUsage|cpuUsage|exit|kill|stdout|stderr|stdin)\b/g],
  ['network', /(?<![.\w#])fetch\(|\bnew WebSocket\(/g],
  ['loading', /(?<![.\w])import\(/g],
];

const used = new Set<string>();

/** What a file touches that it may not. */
export function directAccess(file: string, text: string): string[] {
  if (!SIMULATED_LAYERS.includes(file.split('/')[0]!)) return [];
  const problems: string[] = [];
  const found = (access: Access, what: string): void => {
    if (EDGES[file]?.may.includes(access)) used.add(`${file} ${access}`);
    else problems.push(`uses ${what}: ${access} comes in from outside (scripts/edges.ts)`);
  };
  for (const [, names, module] of text.matchAll(/^import (?!type )([^;]*?)\s*from '(?:node:)?([^'.][^']*)'/gm)) {
    const values = (names!.match(/\{([^}]*)\}/)?.[1] ?? names!)
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '' && !name.startsWith('type '))
      .map((name) => name.split(' as ')[0]!);
    for (const name of values) {
      const access = accessOf(module!, name);
      if (access) found(access, `${name} of ${module}`);
    }
  }
  for (const [access, pattern] of WORDS) {
    for (const [word] of withoutComments(text).matchAll(pattern)) found(access, word);
  }
  return problems;
}

/** Exemptions that nothing needs any more: they would let something in unseen. */
export function unusedEdges(): string[] {
  return Object.entries(EDGES).flatMap(([file, { may }]) =>
    may
      .filter((access) => !used.has(`${file} ${access}`))
      .map((access) => `scripts/edges.ts: src/${file} does not use ${access}`),
  );
}

function accessOf(module: string, name: string): Access | undefined {
  if (PURE_NAMES.includes(name)) return undefined;
  if (module === 'crypto') return RANDOM_NAMES.test(name) || name.startsWith('*') ? 'randomness' : undefined;
  if (module === 'zlib') return NEEDS_TURNS.test(name) || name.startsWith('*') ? 'turns' : undefined;
  return MODULES[module];
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}
