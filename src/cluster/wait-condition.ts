// What a wait waits for, as `kubectl wait --for` has it: a condition of the status, existence, or the caller's own test.
import type { KubeObject } from '../api/object.ts';

/**
 * "Ready", "Available=True", "Ready=False": a condition of status.conditions (a value that is left out is True), of the
 * object's present generation. "create": it exists. "delete": it does not. A function: its own answer, asked only while the
 * object exists.
 */
export type WaitCondition<T> = 'create' | 'delete' | (string & {}) | ((object: T) => boolean);

interface StatusCondition {
  readonly type?: string;
  readonly status?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number | bigint;
}

interface Observed {
  readonly observedGeneration?: number | bigint;
  readonly conditions?: readonly StatusCondition[];
  readonly phase?: string;
}

/** The test that a condition stands for; undefined is an object that does not exist. */
export function testOf<T extends KubeObject>(condition: WaitCondition<T>): (object: T | undefined) => boolean {
  if (typeof condition === 'function') return (object) => object !== undefined && condition(object);
  if (condition === 'create') return (object) => object !== undefined;
  if (condition === 'delete') return (object) => object === undefined;
  const text = condition.startsWith('condition=') ? condition.slice('condition='.length) : condition;
  const [type = '', value = 'True'] = text.split('=');
  if (type === '') throw new TypeError(`"${condition}" names no condition`);
  return (object) => object !== undefined && hasCondition(object, type, value);
}

/** How a wait is called in messages. */
export function nameOf(condition: WaitCondition<never>): string {
  return typeof condition === 'function' ? condition.name || 'the condition' : `"${condition}"`;
}

/** A condition that was written for an older generation says nothing about this one. */
function hasCondition(object: KubeObject, type: string, value: string): boolean {
  const { generation } = object.metadata;
  const status = statusOf(object);
  return (status.conditions ?? []).some((condition) => {
    if (condition.type?.toLowerCase() !== type.toLowerCase()) return false;
    const observed = condition.observedGeneration ?? status.observedGeneration;
    if (generation !== undefined && observed !== undefined && observed < generation) return false;
    return condition.status?.toLowerCase() === value.toLowerCase();
  });
}

/** The state that a wait which failed saw last, in a line. */
export function describeState(object: KubeObject | undefined): string {
  if (!object) return 'it does not exist';
  const { phase, conditions = [] } = statusOf(object);
  const told = conditions.map(({ type, status, reason, message }) => {
    const why = [reason, message].filter((text) => text).join(': ');
    return `${type}=${status}${why && ` (${why})`}`;
  });
  if (phase) told.unshift(`phase ${phase}`);
  if (object.metadata.deletionTimestamp) told.unshift('being deleted');
  return told.length > 0 ? `it has ${told.join(', ')}` : 'it exists, and its status says nothing';
}

function statusOf(object: KubeObject): Observed {
  return (object as { status?: Observed }).status ?? {};
}
