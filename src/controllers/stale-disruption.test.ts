import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rfc3339 } from '../lib/clock.ts';
import { podCondition } from '../machinery/pods.ts';
import { staleDisruptionController } from './stale-disruption.ts';
import { testPod } from './test-controllers.ts';
import { podsOf, report, settled, withWorkloads } from './test-workloads.ts';

test('a mark that no deletion followed goes after two minutes; other conditions stay', () =>
  withWorkloads([staleDisruptionController()], async (cluster) => {
    const pod = await cluster.client.resource('pods').create(testPod('a'));
    const lastTransitionTime = rfc3339(cluster.clock.now());
    const conditions = [
      { type: 'Ready', status: 'True', lastTransitionTime },
      { type: 'DisruptionTarget', status: 'True', lastTransitionTime, reason: 'EvictionByEvictionAPI' },
    ];
    await report(cluster, pod, { phase: 'Running', conditions });
    const status = async (type: string): Promise<string | undefined> => {
      const [found] = await podsOf(cluster);
      return podCondition(found!, type)?.status;
    };
    await settled(cluster);
    await cluster.pass(119_000);
    await settled(cluster);
    assert.equal(await status('DisruptionTarget'), 'True');
    await cluster.pass(1000);
    await settled(cluster);
    assert.deepEqual([await status('DisruptionTarget'), await status('Ready')], ['False', 'True']);
  }));
