import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Endpoint, Service } from '../api/generated/types.ts';
import { hostCommands, output, succeeds } from '../network/command.ts';
import { compileService } from './compile.ts';
import { renderOperations } from './render.ts';
import type { Fragment } from './rules.ts';
import { baseTable } from './table.ts';
import { endpoint, NODE, NOT_READY, POD_RANGE, service, slice, TABLE, TERMINATING } from './test-objects.ts';
import { DesiredTable, type Operation } from './transaction.ts';

const OPTIONS = { family: 'IPv4', node: NODE, podRanges: [POD_RANGE] } as const;
const NAMES = ['a', 'b', 'c', 'd'];

/** A table as nft keeps one, which refuses what the kernel would refuse. */
class ModelTable {
  readonly chains = new Map<string, string[]>();
  readonly sets = new Map<string, number>();
  readonly elements = new Map<string, string>();

  apply(operations: readonly Operation[]): void {
    for (const operation of operations) this.#step(operation);
    for (const [chain, rules] of this.chains) for (const rule of rules) this.#checkTargets(`${chain}: ${rule}`, rule);
    for (const [element, verdict] of this.elements) this.#checkTargets(element, verdict);
  }

  plain(): object {
    const sorted = <V>(map: Map<string, V>): [string, V][] => [...map].sort(([a], [b]) => (a > b ? 1 : -1));
    return { chains: sorted(this.chains), sets: sorted(this.sets), elements: sorted(this.elements) };
  }

  #step(operation: Operation): void {
    switch (operation.op) {
      case 'addChain':
        assert.ok(!this.chains.has(operation.chain), `chain ${operation.chain} exists`);
        this.chains.set(operation.chain, []);
        break;
      case 'flushChain':
        assert.ok(this.chains.has(operation.chain));
        this.chains.set(operation.chain, []);
        break;
      case 'deleteChain':
        assert.deepEqual(this.chains.get(operation.chain), [], 'only an empty chain can go');
        this.#checkUnused(operation.chain);
        this.chains.delete(operation.chain);
        break;
      case 'addRule':
        assert.ok(this.chains.has(operation.chain));
        this.#checkTargets(operation.rule, operation.rule);
        this.chains.get(operation.chain)!.push(operation.rule);
        break;
      case 'addAffinitySet':
        assert.ok(!this.sets.has(operation.set));
        this.sets.set(operation.set, operation.timeoutSeconds);
        break;
      case 'deleteSet':
        this.#checkUnused(`@${operation.set}`);
        assert.ok(this.sets.delete(operation.set));
        break;
      case 'addElement':
        assert.ok(!this.elements.has(`${operation.map} ${operation.key}`), `element ${operation.key} exists`);
        this.#checkTargets(operation.key, operation.verdict ?? '');
        this.elements.set(`${operation.map} ${operation.key}`, operation.verdict ?? '');
        break;
      case 'deleteElement':
        assert.ok(this.elements.delete(`${operation.map} ${operation.key}`));
    }
  }

  #checkTargets(where: string, text: string): void {
    for (const [, target] of text.matchAll(/goto (\S+)/g)) {
      const chain = target!.replace(/,$/, '');
      if (chain !== 'reject-service') assert.ok(this.chains.has(chain), `${where} goes to a chain that does not exist`);
    }
    for (const [, set] of text.matchAll(/@(\S+)/g))
      assert.ok(this.sets.has(set!), `${where} names a set that does not exist`);
  }

  #checkUnused(name: string): void {
    const texts = [...[...this.chains.values()].flat(), ...this.elements.values()];
    for (const text of texts) assert.ok(!text.split(/[ ,]/).includes(name), `${name} is in use: ${text}`);
  }
}

const anEndpoint: fc.Arbitrary<Endpoint> = fc
  .record({
    host: fc.integer({ min: 1, max: 4 }),
    nodeName: fc.constantFrom('node-a', 'node-b'),
    state: fc.constantFrom({}, TERMINATING, NOT_READY),
  })
  .map(({ host, nodeName, state }) => endpoint(`10.244.0.${host}`, { nodeName, ...state }));

const fragmentOf = (name: string): fc.Arbitrary<Fragment | undefined> => {
  const spec = fc.record({
    // Services fight for the same cluster IPs, external IPs and node ports.
    ip: fc.integer({ min: 1, max: 3 }),
    type: fc.constantFrom('ClusterIP' as const, 'NodePort' as const),
    externalIPs: fc.subarray(['203.0.113.1', '10.96.0.1']),
    nodePort: fc.constantFrom(30001, 30002),
    sessionAffinity: fc.constantFrom('None' as const, 'ClientIP' as const),
    timeoutSeconds: fc.constantFrom(10, 20),
    externalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const),
    internalTrafficPolicy: fc.constantFrom('Cluster' as const, 'Local' as const),
    protocol: fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const),
  });
  const made = fc.tuple(spec, fc.array(anEndpoint, { maxLength: 4 })).map(([s, endpoints]) => {
    const ports = [{ name: 'web', port: 80, protocol: s.protocol, nodePort: s.nodePort }];
    const config = { sessionAffinityConfig: { clientIP: { timeoutSeconds: s.timeoutSeconds } } };
    const object: Service = service(name, `10.96.0.${s.ip}`, { ...s, ...config, ports });
    const target = [{ name: 'web', port: 8080, protocol: s.protocol }];
    return compileService(object, [slice(name, endpoints, target)], OPTIONS);
  });
  return fc.option(made, { nil: undefined, freq: 5 });
};

const changes: fc.Arbitrary<ReadonlyMap<string, Fragment | undefined>> = fc
  .subarray(NAMES, { minLength: 1 })
  .chain((names) => fc.tuple(...names.map((name) => fragmentOf(name).map((f): [string, typeof f] => [name, f]))))
  .map((entries) => new Map(entries));

const sequences = fc.array(changes, { minLength: 1, maxLength: 6 });

/** The table that the last word on each Service makes, without any difference. */
function builtAtOnce(sequence: readonly ReadonlyMap<string, Fragment | undefined>[]): DesiredTable {
  const last = new Map(sequence.flatMap((step) => [...step]));
  const table = new DesiredTable(TABLE);
  table.update(new Map([...last].sort()));
  return table;
}

test('differences, one after the other, make what a full build makes, and no step is one that nft refuses', () => {
  fc.assert(
    fc.property(sequences, (sequence) => {
      const desired = new DesiredTable(TABLE);
      const kernel = new ModelTable();
      for (const step of sequence) kernel.apply(desired.update(step));
      const full = new ModelTable();
      full.apply(desired.full());
      assert.deepEqual(kernel.plain(), full.plain());
      const fresh = new ModelTable();
      fresh.apply(builtAtOnce(sequence).full());
      assert.deepEqual(full.plain(), fresh.plain());
    }),
    { numRuns: 300 },
  );
});

test('the same once more changes nothing', () => {
  fc.assert(
    fc.property(changes, (step) => {
      const desired = new DesiredTable(TABLE);
      desired.update(step);
      assert.deepEqual(desired.update(step), []);
    }),
    { numRuns: 100 },
  );
});

const canRunNft = await succeeds(hostCommands, ['unshare', '-n', 'nft', 'list', 'tables']).catch(() => false);

test('the kernel takes every difference, and has at the end what a full build gives it', {
  skip: !canRunNft,
}, async () => {
  for (const sequence of fc.sample(sequences, { numRuns: 12, seed: 7 })) {
    const desired = new DesiredTable(TABLE);
    const texts = [baseTable(TABLE), ...sequence.map((step) => renderOperations(desired.update(step), TABLE))];
    const byDifferences = await kernelAfter(texts);
    const atOnce = await kernelAfter([baseTable(TABLE) + renderOperations(builtAtOnce(sequence).full(), TABLE)]);
    assert.deepEqual(byDifferences, atOnce);
  }
});

/** What `nft list` prints, in an order of its own, after each text was one transaction in a namespace of its own. */
async function kernelAfter(transactions: readonly string[]): Promise<readonly string[]> {
  const script = transactions.map((text) => `nft -f - <<'END' || exit 1\n${text}END\n`).join('');
  const listed = await output(hostCommands, [
    'unshare',
    '-n',
    'sh',
    '-c',
    `${script}nft -n list table ip ${TABLE.table}`,
  ]);
  return listed
    .replace(/,\n\s+/g, ', ')
    .split(/\n\t(?=chain|map|set)/)
    .map((part) =>
      part.replace(/elements = \{ (.*) \}/, (_, list: string) => list.split(', ').sort().join('; ')).trim(),
    )
    .map((part) => part.replace(/\}\s*\}$/, '}'))
    .sort();
}
