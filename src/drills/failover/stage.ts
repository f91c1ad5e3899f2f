// The cluster that drills are run on: what they ask of it, and how it becomes whole again.
import { EtcdAdmin } from '../../cluster/ha/etcd-admin.ts';
import { Hosts } from '../../cluster/ha/hosts.ts';
import { type HaStatus, haStatus } from '../../cluster/ha/status.ts';
import { hostNamed } from '../../cluster/ha/topology.ts';
import type { Layout } from '../../cluster/layout.ts';
import { readSettings } from '../../cluster/settings.ts';
import { sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { administrator } from '../probes/administrator.ts';
import type { Connection } from '../probes/connection.ts';
import { nodesOf, type PodsProbe, removePod } from '../probes/pods.ts';

export const NAMESPACE = 'drill';
export const SERVICE = 'web';
export const SELECTOR = 'app=web';
export const REPLICAS = 3;

export interface StageOptions {
  readonly layout: Layout;
  readonly env: Environment;
  /** Of a web server that answers with its host's name on port 80; on every node already. */
  readonly image: string;
  /** Runs this program's command line, for what is done by it: "host destroy", "server join". */
  readonly tsukube: (args: readonly string[], signal: AbortSignal) => Promise<string>;
}

const WHOLE_WITHIN_MS = 120_000;
const LOOK_MS = 200;
const PREPARE_TIMEOUT_MS = 10_000;

export class Stage {
  readonly namespace = NAMESPACE;
  readonly hosts: Hosts;
  readonly env: Environment;
  readonly image: string;
  readonly layout: Layout;
  readonly tsukube: StageOptions['tsukube'];
  #nodePort = 0;

  constructor({ layout, env, image, tsukube }: StageOptions) {
    this.hosts = new Hosts({ layout, env });
    this.layout = layout;
    this.env = env;
    this.image = image;
    this.tsukube = tsukube;
  }

  /** A connection of its own to the API's address, with the administrator's rights. */
  connect(pingMs?: number): Promise<Connection> {
    return administrator({ layout: this.layout, clock: this.env.clock }, { pingMs });
  }

  async pods(): Promise<PodsProbe> {
    return { connection: await this.connect(), clock: this.env.clock, namespace: NAMESPACE };
  }

  async status(signal: AbortSignal): Promise<HaStatus> {
    const settings = await readSettings(this.layout.settings);
    if (!settings?.topology) throw new Error(`cluster "${this.layout.name}" was not started with "tsukube up --ha"`);
    return haStatus({ layout: this.layout, env: this.env }, settings.topology, signal);
  }

  /** By node port, through one host. */
  async serviceUrl(host: string): Promise<string> {
    const found = (await this.hosts.hosts()).find((one) => one.name === host)!;
    return `http://${found.address}:${this.#nodePort}/`;
  }

  /** Makes the namespace and the service with three replicas, or finds them. */
  async prepare(signal: AbortSignal): Promise<void> {
    const connection = await this.connect();
    try {
      const post = async (path: string, body: object): Promise<void> => {
        const answer = await connection.insist({ method: 'POST', path, body, timeoutMs: PREPARE_TIMEOUT_MS }, signal);
        if (answer.code !== 201 && answer.code !== 409) throw new Error(`POST ${path}: ${answer.code} ${answer.text}`);
      };
      await post('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
      await post(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments`, deployment(this.image));
      await post(`/api/v1/namespaces/${NAMESPACE}/services`, service());
      const path = `/api/v1/namespaces/${NAMESPACE}/services/${SERVICE}`;
      const { text } = await connection.insist({ method: 'GET', path, timeoutMs: PREPARE_TIMEOUT_MS }, signal);
      const { spec } = JSON.parse(text) as {
        readonly spec: { readonly ports: readonly { readonly nodePort: number }[] };
      };
      this.#nodePort = spec.ports[0]!.nodePort;
    } finally {
      connection.close();
    }
  }

  /** Waits until everything is as it was asked for, one failure is tolerated, and the service's pods are on three nodes. */
  async whole(signal: AbortSignal): Promise<HaStatus> {
    const { clock } = this.env;
    const overMs = clock.monotonic() + WHOLE_WITHIN_MS;
    const pods = await this.pods();
    try {
      for (;;) {
        const status = await this.status(signal);
        const wrong = [...status.problems, ...status.warnings];
        if (wrong.length === 0 && status.tolerates.all < 1)
          wrong.push(`${status.tolerates.all} failures are tolerated`);
        if (wrong.length === 0) wrong.push(...(await this.#spread(pods, signal)));
        if (wrong.length === 0) return status;
        if (clock.monotonic() > overMs) throw new Error(`the cluster does not become whole: ${wrong.join('; ')}`);
        await sleep(clock, LOOK_MS, signal);
      }
    } finally {
      pods.connection.close();
    }
  }

  /** Undoes whatever a drill did to hosts, as far as it can be undone. */
  async mend(signal: AbortSignal): Promise<void> {
    await this.hosts.heal();
    for (const { name, isOn, isPlugged, role } of await this.hosts.hosts()) {
      if (!isOn) await this.hosts.powerOn(name, signal);
      else if (!isPlugged) await this.hosts.plug(name);
      if (isOn && role === 'control-plane') await this.hosts.resume(name, 'server');
    }
  }

  /** Has a member of etcd lead. */
  async moveEtcdLeader(to: string, status: HaStatus, signal: AbortSignal): Promise<void> {
    if (status.leader === to) return;
    const etcd = await EtcdAdmin.open(this.layout, this.env);
    const target = status.members!.find((member) => member.name === to)!;
    const settings = await readSettings(this.layout.settings);
    await etcd.moveLeader(hostNamed(settings!.topology!, status.leader!), target.id, signal);
  }

  /** Pods that share a node give way, so that a lost worker always costs one of three. */
  async #spread(pods: PodsProbe, signal: AbortSignal): Promise<readonly string[]> {
    const nodes = await nodesOf(pods, SELECTOR, signal).catch(() => undefined);
    if (!nodes || nodes.size < REPLICAS) return ['the service has not all its pods'];
    const taken = new Set<string>();
    const spare = [...nodes].filter(([, node]) => taken.size === taken.add(node).size);
    for (const [name] of spare) await removePod(pods, name, signal);
    return spare.length === 0 ? [] : ['the pods of the service share a node'];
  }
}

function deployment(image: string): object {
  const labels = { app: SERVICE };
  const spread = {
    maxSkew: 1,
    topologyKey: 'kubernetes.io/hostname',
    whenUnsatisfiable: 'ScheduleAnyway',
    labelSelector: { matchLabels: labels },
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: SERVICE },
    spec: {
      replicas: REPLICAS,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 1,
          topologySpreadConstraints: [spread],
          containers: [{ name: 'web', image, readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 1 } }],
        },
      },
    },
  };
}

function service(): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: SERVICE },
    spec: { type: 'NodePort', selector: { app: SERVICE }, ports: [{ port: 80 }] },
  };
}
