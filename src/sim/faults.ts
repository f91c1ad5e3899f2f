// What goes wrong, when, by the seed.
import type { Lease } from '../api/generated/types.ts';
import { sleep } from '../lib/clock.ts';
import type { Random } from '../lib/random.ts';
import type { SimulatedNodes } from '../simulated/simulated-nodes.ts';
import type { Candidate, CandidateKind } from './candidates.ts';
import { BAD_DISK, type SimulatedDisk, SOUND_DISK } from './disk.ts';
import type { History } from './history.ts';
import { BAD_NETWORK, type Network, SOUND_NETWORK } from './network.ts';
import { randomOf, type World } from './process.ts';

export const FAULTS = ['nodes', 'leaders', 'network', 'disk', 'apiserver'] as const;
export type FaultKind = (typeof FAULTS)[number];

export interface Stage {
  readonly world: World;
  readonly network: Network;
  readonly disk: SimulatedDisk;
  readonly history: History;
  readonly nodes: SimulatedNodes;
  readonly candidates: () => readonly Candidate[];
  /** Takes the place of one that was killed. */
  readonly replace: (dead: Candidate) => void;
  readonly restartServer: () => Promise<void>;
  readonly say: (what: string) => void;
}

const NEVER = new AbortController().signal;

export class Faults {
  readonly #stage: Stage;
  readonly #kinds: readonly FaultKind[];
  readonly #random: Random;
  /** Faults that last, and how each is taken back. */
  readonly #lasting = new Set<() => void>();
  readonly #counts = new Map<string, number>();
  #failedNodes = 0;

  constructor(stage: Stage, kinds: readonly FaultKind[]) {
    this.#stage = stage;
    this.#kinds = kinds;
    this.#random = randomOf(stage.world.seed, 'faults');
  }

  /** How often each fault was made. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }

  /** Makes faults for so long, then takes back what lasts. */
  async run(durationMs: number): Promise<void> {
    const { clock } = this.#stage.world;
    const endMs = clock.monotonic() + durationMs;
    await Promise.all([this.#byChance(endMs), this.#leadersFall(endMs, durationMs)]);
    for (const end of [...this.#lasting]) end();
  }

  async #byChance(endMs: number): Promise<void> {
    const { clock } = this.#stage.world;
    if (this.#kinds.length === 0) return sleep(clock, endMs - clock.monotonic(), NEVER);
    for (;;) {
      const pauseMs = 2_000 + 18_000 * this.#random.next();
      await sleep(clock, Math.min(pauseMs, endMs - clock.monotonic()), NEVER);
      if (clock.monotonic() >= endMs) return;
      await this.#one(this.#kinds[Math.floor(this.#random.next() * this.#kinds.length)]!);
    }
  }

  /** In every run with this kind of fault a leader is stopped and continued, and one is killed. */
  async #leadersFall(endMs: number, durationMs: number): Promise<void> {
    const { clock } = this.#stage.world;
    if (!this.#kinds.includes('leaders')) return;
    await sleep(clock, durationMs * 0.25, NEVER);
    this.#stop(await this.#anyLeader(endMs), 20_000 + 15_000 * this.#random.next());
    await sleep(clock, durationMs * 0.3, NEVER);
    this.#kill(await this.#anyLeader(endMs));
  }

  /** Waits for controllers that lead and run. */
  async #anyLeader(endMs: number): Promise<Candidate | undefined> {
    const { clock } = this.#stage.world;
    while (clock.monotonic() < endMs) {
      const leader = this.#leader('controllers');
      if (leader && !leader.program.stopped) return leader;
      await sleep(clock, 1_000, NEVER);
    }
    return undefined;
  }

  async #one(kind: FaultKind): Promise<void> {
    switch (kind) {
      case 'nodes':
        return this.#failNode();
      case 'leaders':
        return this.#troubleCandidate();
      case 'network':
        return this.#badNetwork();
      case 'disk':
        return this.#badDisk();
      case 'apiserver':
        return this.#killServer();
    }
  }

  #note(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }

  /** Calls `end` after a while, or when faults end. */
  #last(durationMs: number, end: () => void): void {
    const once = (): void => {
      if (!this.#lasting.delete(once)) return;
      timer.cancel();
      end();
    };
    this.#lasting.add(once);
    const timer = this.#stage.world.clock.timer(durationMs, once);
  }

  #failNode(): void {
    const { nodes, say } = this.#stage;
    const names = nodes.names();
    if (this.#failedNodes >= names.length / 3) return;
    const name = names[Math.floor(this.#random.next() * names.length)]!;
    const durationMs = 10_000 + 230_000 * this.#random.next() ** 2;
    this.#note('node failed');
    say(`node ${name} falls silent for ${seconds(durationMs)}`);
    this.#failedNodes++;
    nodes.fail(name);
    this.#last(durationMs, () => {
      this.#failedNodes--;
      say(`node ${name} is back`);
      nodes.recover(name);
    });
  }

  #troubleCandidate(): void {
    const kind: CandidateKind = this.#random.next() < 0.6 ? 'controllers' : 'scheduler';
    const all = this.#stage.candidates().filter((one) => one.kind === kind);
    const one = this.#random.next() < 0.7 ? this.#leader(kind) : all[Math.floor(this.#random.next() * all.length)];
    const durationMs = 2_000 + 40_000 * this.#random.next();
    const which = this.#random.next();
    if (which < 0.4) this.#stop(one, durationMs);
    else if (which < 0.7) this.#kill(one);
    else this.#partition(one, durationMs);
  }

  /** Who holds the term, when it is alive. */
  #leader(kind: CandidateKind): Candidate | undefined {
    const lease = kind === 'controllers' ? 'kube-controller-manager' : 'kube-scheduler';
    const term = this.#stage.history.get(`/registry/leases/kube-system/${lease}.term`) as Lease | undefined;
    return this.#stage.candidates().find(({ name }) => name === term?.spec.holderIdentity);
  }

  #stop(one: Candidate | undefined, durationMs: number): void {
    if (!one || one.program.stopped) return;
    const { say } = this.#stage;
    this.#note('component stopped');
    say(`${one.name} is stopped for ${seconds(durationMs)}`);
    one.program.stop();
    this.#last(durationMs, () => {
      if (!one.program.dead) say(`${one.name} is continued`);
      one.program.continue();
    });
  }

  #kill(one: Candidate | undefined): void {
    if (!one || one.program.dead) return;
    const { replace, say } = this.#stage;
    this.#note('component killed');
    say(`${one.name} is killed`);
    one.link.close();
    this.#last(1_000 + 20_000 * this.#random.next(), () => replace(one));
  }

  #partition(one: Candidate | undefined, durationMs: number): void {
    if (!one) return;
    const { say } = this.#stage;
    this.#note('component cut off');
    say(`${one.name} is cut off for ${seconds(durationMs)}`);
    one.link.partition();
    this.#last(durationMs, () => one.link.heal());
  }

  #badNetwork(): void {
    const { network, say } = this.#stage;
    if (network.behaviour === BAD_NETWORK) return;
    const durationMs = 10_000 + 50_000 * this.#random.next();
    this.#note('network bad');
    say(`the network is bad for ${seconds(durationMs)}`);
    network.behaviour = BAD_NETWORK;
    this.#last(durationMs, () => {
      network.behaviour = SOUND_NETWORK;
    });
  }

  #badDisk(): void {
    const { disk, say } = this.#stage;
    if (disk.behaviour === BAD_DISK) return;
    const durationMs = 10_000 + 50_000 * this.#random.next();
    this.#note('disk bad');
    say(`the disk is bad for ${seconds(durationMs)}`);
    disk.behaviour = BAD_DISK;
    this.#last(durationMs, () => {
      disk.behaviour = SOUND_DISK;
    });
  }

  async #killServer(): Promise<void> {
    const { disk, network, restartServer, say, world } = this.#stage;
    // In the middle of a write: what was acknowledged too early would be lost.
    await disk.busy();
    if (!network.server) return;
    const downMs = 500 + 8_000 * this.#random.next();
    this.#note('API server killed');
    say(`the API server is killed, back in ${seconds(downMs)}`);
    network.server.program.kill();
    network.serverDied();
    await sleep(world.clock, downMs, NEVER);
    await restartServer();
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
