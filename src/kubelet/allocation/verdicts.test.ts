import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Pod } from '../../api/generated/types.ts';
import type { ResizeRefusal } from '../../machinery/pod-resize.ts';
import { aContainer, aPod, observed, seen } from '../pod/fixtures.ts';
import { type Holder, holders, judgeResizes } from './verdicts.ts';

const NODE = { cpu: '4', memory: '8Gi', pods: '10' };
const asking = (uid: string, cpu: string, status: object = {}): Pod => ({
  ...aPod({ containers: [aContainer('main', { resources: { requests: { cpu } } })] }, { uid }),
  status,
});

/** What a worker is to the others; its verdicts are kept. */
class Fake implements Holder {
  readonly uid: string;
  readonly asked: Pod;
  readonly observed = observed([
    seen('main', { resources: { cpuRequestMilli: 0, cpuLimitMilli: 0, memoryLimitBytes: 0 } }),
  ]);
  readonly verdicts: (ResizeRefusal | undefined)[] = [];
  readonly admitted: boolean;
  readonly active: boolean;
  pod: Pod;

  constructor(uid: string, { has, asks = has, admitted = true, active = true, status = {} }: Given) {
    this.uid = uid;
    this.pod = asking(uid, has, status);
    this.asked = asking(uid, asks, status);
    this.admitted = admitted;
    this.active = active;
  }

  get asksForOther(): boolean {
    return this.admitted && this.pod.spec.containers[0]!.resources !== this.asked.spec.containers[0]!.resources;
  }

  judged(refusal: ResizeRefusal | undefined): void {
    this.verdicts.push(refusal);
    if (!refusal) this.pod = this.asked;
  }
}

interface Given {
  readonly has: string;
  readonly asks?: string;
  readonly admitted?: boolean;
  readonly active?: boolean;
  readonly status?: object;
}

describe('what pods hold', () => {
  const taken = new Set(['late', 'over']);
  const holding = (...all: Fake[]): readonly Fake[] => holders(all, (holder) => taken.has(holder.uid));

  test('a pod that an earlier kubelet took holds what it has before this one has looked at it', () => {
    const grows = new Fake('grows', { has: '1', asks: '2' });
    const late = new Fake('late', { has: '3', admitted: false });
    judgeResizes(holding(grows, late), NODE);
    assert.deepEqual(
      grows.verdicts.map((v) => v?.reason),
      ['Deferred'],
    );
    // One that has never run here waits to be admitted, and holds nothing; one that has ended does not either.
    const fresh = new Fake('fresh', { has: '3', admitted: false });
    const over = new Fake('over', { has: '3', admitted: false, status: { phase: 'Succeeded' } });
    const gone = new Fake('late', { has: '3', active: false });
    judgeResizes(holding(grows, fresh, over, gone), NODE);
    assert.deepEqual(grows.verdicts.slice(1), [undefined]);
  });

  test('what one pod gets the next one finds taken; what is given back comes first', () => {
    const first = new Fake('first', { has: '1', asks: '2' });
    const second = new Fake('second', { has: '1', asks: '2' });
    const shrinks = new Fake('shrinks', { has: '2', asks: '1' });
    judgeResizes(holding(first, second, shrinks), NODE);
    assert.deepEqual(
      [first, second, shrinks].map((h) => h.verdicts.map((v) => v?.reason)),
      [[undefined], ['Deferred'], [undefined]],
    );
  });
});
