import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeState, nameOf, testOf } from './wait-condition.ts';

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
}

const object = (conditions: readonly Condition[], more: object = {}, generation = 2) => ({
  metadata: { name: 'a', generation },
  status: { conditions, ...more },
});
const ready = (status: string, observedGeneration?: number) =>
  object([{ type: 'Ready', status, ...(observedGeneration !== undefined && { observedGeneration }) }]);

describe('what a wait waits for', () => {
  it('a condition is True unless another value is named, whatever its case', () => {
    assert.equal(testOf('Ready')(ready('True')), true);
    assert.equal(testOf('condition=ready')(ready('True')), true);
    assert.equal(testOf('Ready')(ready('False')), false);
    assert.equal(testOf('Ready=false')(ready('False')), true);
    assert.equal(testOf('Ready=Unknown')(ready('True')), false);
    assert.equal(testOf('Available')(ready('True')), false);
    assert.equal(testOf('Ready')(undefined), false);
    assert.equal(testOf('Ready')({ metadata: { name: 'a' } }), false);
  });

  it('a condition of an older generation does not count', () => {
    assert.equal(testOf('Ready')(ready('True', 1)), false);
    assert.equal(testOf('Ready')(ready('True', 2)), true);
    const condition = [{ type: 'Ready', status: 'True' }];
    assert.equal(testOf('Ready')(object(condition, { observedGeneration: 1 })), false);
    assert.equal(testOf('Ready')(object(condition, { observedGeneration: 2 })), true);
    // The condition's own says more than the status's.
    assert.equal(
      testOf('Ready')(object([{ ...condition[0]!, observedGeneration: 2 }], { observedGeneration: 1 })),
      true,
    );
  });

  it('existence and absence', () => {
    assert.equal(testOf('create')(ready('False')), true);
    assert.equal(testOf('create')(undefined), false);
    assert.equal(testOf('delete')(undefined), true);
    assert.equal(testOf('delete')(ready('True')), false);
  });

  it("the caller's own test is asked only about what exists", () => {
    const named = testOf(({ metadata }: { metadata: { name: string } }) => metadata.name === 'a');
    assert.equal(named(undefined), false);
    assert.equal(named(ready('False')), true);
  });

  it('refuses a condition without a name', () => {
    assert.throws(() => testOf('=True'), /names no condition/);
    assert.throws(() => testOf(''), TypeError);
  });

  it('says what it waited for and what it saw', () => {
    assert.equal(nameOf('Ready'), '"Ready"');
    assert.equal(
      nameOf(function isRolledOut() {
        return true;
      }),
      'isRolledOut',
    );
    assert.equal(describeState(undefined), 'it does not exist');
    assert.equal(describeState({ metadata: { name: 'a' } }), 'it exists, and its status says nothing');
    const unschedulable = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '0/1 nodes' };
    assert.equal(
      describeState(object([unschedulable], { phase: 'Pending' })),
      'it has phase Pending, PodScheduled=False (Unschedulable: 0/1 nodes)',
    );
  });
});
