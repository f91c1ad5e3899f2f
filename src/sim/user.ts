// The scenario's user: makes workloads, changes them by the seed, and insists until each wish is known to be granted.
import type { Deployment, Node, Pod } from '../api/generated/types.ts';
import { draft, type KubeObject } from '../api/object.ts';
import type { Client, DeleteQuery, ObjectReference, ResourceClient } from '../client/contract.ts';
import { sleep } from '../lib/clock.ts';
import type { Random } from '../lib/random.ts';
import { isReason, StatusError } from '../machinery/status.ts';
import type { SimulatedProcess } from './process.ts';
import { budget, cronJob, daemonSet, deployment, job, NAMESPACE, SCRATCH, service, statefulSet } from './workloads.ts';

const RETRY_MS = 1_000;
/** What the user takes off again after it has deleted the object. */
const HOLD = 'simulation/hold';
/** Evictions of one drain that are tried before the rest of the node is left alone. */
const EVICTION_TRIES = 30;
const NEVER = new AbortController().signal;

export interface UserOptions {
  readonly client: Client;
  readonly program: SimulatedProcess;
  readonly nodes: readonly string[];
  /** Tells the report what was done. */
  readonly say: (what: string) => void;
}

/** One thing that a user does; resolves when it is known to be done. */
type Deed = readonly [name: string, weight: number, run: () => Promise<void>];

export class User {
  readonly #options: UserOptions;
  readonly #random: Random;
  #version = 1;
  #serial = 0;
  #cordoned: string | undefined;

  constructor(options: UserOptions) {
    this.#options = options;
    this.#random = options.program.env.random;
  }

  /** Everything that the scenario begins with. */
  async begin(): Promise<void> {
    const { client, nodes, say } = this.#options;
    for (const name of [NAMESPACE, SCRATCH])
      await this.#create(client.resource('namespaces'), { metadata: { name }, spec: {} });
    const replicas = nodes.length * 2;
    await this.#create(client.resource('services'), service('web'));
    await this.#create(client.resource('deployments.apps'), deployment('web', replicas, 'web:1'));
    await this.#create(client.resource('poddisruptionbudgets.policy'), budget('web', '20%'));
    await this.#create(client.resource('services'), service('db', true));
    await this.#create(client.resource('statefulsets.apps'), statefulSet('db', 3));
    await this.#create(client.resource('poddisruptionbudgets.policy'), budget('db', 1));
    await this.#create(client.resource('daemonsets.apps'), daemonSet('agent'));
    await this.#create(client.resource('cronjobs.batch'), cronJob('tick'));
    say(`made Deployment web (${replicas}), StatefulSet db (3), DaemonSet agent, CronJob tick, budgets, services`);
  }

  /** Does one thing after another until `over`. */
  async act(over: () => boolean): Promise<void> {
    const { clock } = this.#options.program.env;
    const deeds = this.#deeds();
    const total = deeds.reduce((sum, [, weight]) => sum + weight, 0);
    // The rolling update is what a run is about: each has one.
    await sleep(clock, 20_000, NEVER);
    await this.#rollOut();
    while (!over()) {
      await sleep(clock, 3_000 + this.#random.next() * 15_000, NEVER);
      if (over()) break;
      let at = this.#random.next() * total;
      const deed = deeds.find(([, weight]) => {
        at -= weight;
        return at < 0;
      });
      await deed?.[2]();
    }
  }

  /** Leaves nothing that changes by itself. */
  async end(): Promise<void> {
    await this.#uncordon();
    const jobs = this.#options.client.resource('cronjobs.batch');
    await this.#change(jobs, { namespace: NAMESPACE, name: 'tick' }, { spec: { suspend: true } });
  }

  #deeds(): readonly Deed[] {
    return [
      ['roll out', 4, () => this.#rollOut()],
      ['scale', 2, () => this.#scale()],
      ['drain', 3, () => this.#drain()],
      ['evict many', 2, () => this.#evictMany()],
      ['run a job', 2, () => this.#runJob()],
      ['come and go', 3, () => this.#comeAndGo()],
      ['scale the set', 1, () => this.#scaleSet()],
      ['start anew', 1, () => this.#deleteScratch()],
    ];
  }

  async #rollOut(): Promise<void> {
    const { client, say } = this.#options;
    const image = `web:${++this.#version}`;
    say(`rolls out ${image}`);
    const containers = [{ name: 'main', image }];
    await this.#change(
      client.resource('deployments.apps'),
      { namespace: NAMESPACE, name: 'web' },
      {
        spec: { template: { spec: { containers } } },
      },
    );
  }

  async #scale(): Promise<void> {
    const { client, nodes, say } = this.#options;
    const replicas = Math.ceil(nodes.length * (1 + 2 * this.#random.next()));
    say(`scales web to ${replicas}`);
    await this.#change(
      client.resource('deployments.apps'),
      { namespace: NAMESPACE, name: 'web' },
      { spec: { replicas } },
    );
  }

  async #scaleSet(): Promise<void> {
    const { client, say } = this.#options;
    const replicas = 1 + Math.floor(this.#random.next() * 5);
    say(`scales db to ${replicas}`);
    await this.#change(
      client.resource('statefulsets.apps'),
      { namespace: NAMESPACE, name: 'db' },
      { spec: { replicas } },
    );
  }

  async #runJob(): Promise<void> {
    const name = `batch-${++this.#serial}`;
    this.#options.say(`runs Job ${name}`);
    await this.#create(this.#options.client.resource('jobs.batch'), job(name, 5));
  }

  /** A Deployment that is deleted again, in each of the ways. */
  async #comeAndGo(): Promise<void> {
    const { client, program, say } = this.#options;
    const name = `extra-${++this.#serial}`;
    const policies = ['Foreground', 'Background', 'Orphan'] as const;
    const propagationPolicy = policies[Math.floor(this.#random.next() * policies.length)]!;
    const deployments: ResourceClient<Deployment> = client.resource('deployments.apps');
    const held = deployment(name, 4, 'extra:1');
    await this.#create(deployments, { ...held, metadata: { ...held.metadata, finalizers: [HOLD] } });
    await sleep(program.env.clock, this.#random.next() * 8_000, NEVER);
    say(`deletes Deployment ${name} (${propagationPolicy})`);
    await this.#delete(deployments, { namespace: NAMESPACE, name }, { propagationPolicy });
    const patch = { type: 'strategic', body: { metadata: { '$deleteFromPrimitiveList/finalizers': [HOLD] } } } as const;
    await this.#persist(async () => {
      try {
        await deployments.patch({ namespace: NAMESPACE, name }, patch);
      } catch (error) {
        // A patch whose answer was lost may have let it go.
        if (!isReason(error, 'NotFound')) throw error;
      }
    });
  }

  /** A namespace goes with all that is in it, and comes again. */
  async #deleteScratch(): Promise<void> {
    const { client, program, say } = this.#options;
    const namespaces = client.resource('namespaces');
    await this.#create(client.resource('deployments.apps'), deployment('short', 3, 'short:1', SCRATCH));
    await sleep(program.env.clock, this.#random.next() * 5_000, NEVER);
    say(`deletes namespace ${SCRATCH}`);
    const { metadata } = await this.#persist(() => namespaces.get({ name: SCRATCH }));
    await this.#delete(namespaces, { name: SCRATCH }, { preconditions: { uid: metadata.uid! } });
    for (;;) {
      const there = await this.#persist(async () => {
        try {
          return (await namespaces.get({ name: SCRATCH })).metadata.uid === metadata.uid;
        } catch (error) {
          if (isReason(error, 'NotFound')) return false;
          throw error;
        }
      });
      if (!there) break;
      await sleep(program.env.clock, RETRY_MS, NEVER);
    }
    await this.#create(namespaces, { metadata: { name: SCRATCH }, spec: {} });
  }

  /** kubectl drain: cordons, then evicts what is not a daemon's. */
  async #drain(): Promise<void> {
    const { client, nodes, program, say } = this.#options;
    await this.#uncordon();
    const name = nodes[Math.floor(this.#random.next() * nodes.length)]!;
    say(`drains ${name}`);
    this.#cordoned = name;
    await this.#change(client.resource('nodes'), { name }, { spec: { unschedulable: true } });
    const pods = client.resource('pods');
    const { items } = await this.#persist(() =>
      pods.list({ namespace: NAMESPACE, fieldSelector: `spec.nodeName=${name}` }),
    );
    const movable = items.filter((pod) => !pod.metadata.ownerReferences?.some(({ kind }) => kind === 'DaemonSet'));
    let tries = EVICTION_TRIES;
    for (const pod of movable) {
      while (tries > 0 && !(await this.#evict(pods, pod))) {
        tries--;
        await sleep(program.env.clock, 2_000, NEVER);
      }
    }
  }

  /** Asks for more at once than the budget allows; each pod once, and a refusal is an answer. */
  async #evictMany(): Promise<void> {
    const { client, say } = this.#options;
    const pods = client.resource('pods');
    const { items } = await this.#persist(() => pods.list({ namespace: NAMESPACE, labelSelector: 'app=web' }));
    const chosen = items.filter(() => this.#random.next() < 0.5);
    const answers = await Promise.all(chosen.map((pod) => this.#evict(pods, pod)));
    say(`evicted ${answers.filter((done) => done).length} of ${chosen.length} pods of web`);
  }

  async #evict(pods: ResourceClient<Pod>, { metadata }: Pod): Promise<boolean> {
    const { namespace, name, uid } = metadata;
    const eviction = { metadata: { namespace, name }, deleteOptions: { preconditions: { uid } } };
    try {
      await pods.createOn({ namespace, name }, 'eviction', eviction);
      return true;
    } catch (error) {
      return isReason(error, 'NotFound', 'Conflict');
    }
  }

  async #uncordon(): Promise<void> {
    const name = this.#cordoned;
    if (name === undefined) return;
    this.#cordoned = undefined;
    const nodes: ResourceClient<Node> = this.#options.client.resource('nodes');
    await this.#change(nodes, { name }, { spec: { unschedulable: null } });
  }

  /** Tries until the answer is known. A Status that no repetition would change is the simulation's own mistake. */
  async #persist<T>(wish: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await wish();
      } catch (error) {
        const final =
          error instanceof StatusError && error.code < 500 && !isReason(error, 'Conflict', 'TooManyRequests');
        if (final) throw error;
        await sleep(this.#options.program.env.clock, RETRY_MS, NEVER);
      }
    }
  }

  async #create<T extends KubeObject>(resource: ResourceClient<T>, object: T): Promise<void> {
    await this.#persist(async () => {
      try {
        await resource.create(draft(object) as T);
      } catch (error) {
        if (!isReason(error, 'AlreadyExists')) throw error;
      }
    });
  }

  async #change<T extends KubeObject>(resource: ResourceClient<T>, ref: ObjectReference, body: object): Promise<void> {
    await this.#persist(() => resource.patch(ref, { type: 'strategic', body }));
  }

  async #delete<T extends KubeObject>(
    resource: ResourceClient<T>,
    ref: ObjectReference,
    query: DeleteQuery,
  ): Promise<void> {
    await this.#persist(async () => {
      try {
        await resource.delete(ref, query);
      } catch (error) {
        if (!isReason(error, 'NotFound')) throw error;
      }
    });
  }
}
