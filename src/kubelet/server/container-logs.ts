import type { ContainerStatus, Pod, PodStatus } from '../../api/generated/types.ts';
import type { LogOptions } from '../logs/read.ts';

/** A refusal with the HTTP code that it is answered with. */
export class HttpError extends Error {
  override name = 'HttpError';
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const STREAMS: ReadonlyMap<string, 'stdout' | 'stderr'> = new Map([
  ['Stdout', 'stdout'],
  ['Stderr', 'stderr'],
]);
const TRUE = new Set(['true', '1', 't', 'T', 'TRUE', 'True']);

/** The options of PodLogOptions in a query. Throws HttpError 422 for what cannot be. */
export function logOptions(query: URLSearchParams, nowMs: number): LogOptions & { readonly previous: boolean } {
  const flag = (name: string): boolean => TRUE.has(query.get(name) ?? '');
  const number = (name: string, minimum: number): number | undefined => {
    const text = query.get(name);
    if (text === null || text === '') return undefined;
    const value = Number(text);
    if (!/^[+-]?\d{1,19}$/.test(text) || value < minimum) throw new HttpError(422, `invalid value ${text} for ${name}`);
    return value;
  };
  const sinceSeconds = number('sinceSeconds', 1);
  const sinceTime = query.get('sinceTime');
  const since = sinceSeconds === undefined ? sinceTime && Date.parse(sinceTime) : nowMs - sinceSeconds * 1000;
  if (typeof since === 'number' && Number.isNaN(since))
    throw new HttpError(422, `invalid value ${sinceTime} for sinceTime`);
  const asked = query.get('stream');
  const stream = asked === null || asked === '' || asked === 'All' ? undefined : STREAMS.get(asked);
  if (stream === undefined && asked !== null && asked !== '' && asked !== 'All') {
    throw new HttpError(422, `invalid value ${asked} for stream`);
  }
  const tailLines = number('tailLines', 0);
  const limitBytes = number('limitBytes', 1);
  return {
    follow: flag('follow'),
    timestamps: flag('timestamps'),
    previous: flag('previous'),
    ...(tailLines !== undefined && { tailLines }),
    ...(limitBytes !== undefined && { limitBytes }),
    ...(typeof since === 'number' && { sinceMs: since }),
    ...(stream && { stream }),
  };
}

/** The id of the container instance whose log is asked for. Throws HttpError when there is none (yet). */
export function loggedContainer(pod: Pod, status: PodStatus | undefined, name: string, previous: boolean): string {
  const lists = [status?.initContainerStatuses, status?.containerStatuses, status?.ephemeralContainerStatuses];
  const found = lists.flatMap((list) => list ?? []).find((s) => s.name === name);
  const inSpec = [pod.spec.initContainers, pod.spec.containers, pod.spec.ephemeralContainers].some((list) =>
    list?.some((c) => c.name === name),
  );
  const podName = pod.metadata.name;
  if (!inSpec) throw new HttpError(404, `container "${name}" not found in pod "${podName}_${pod.metadata.namespace}"`);
  if (!found) throw new HttpError(400, `container "${name}" in pod "${podName}" is not available`);
  return instanceOf(found, podName, previous);
}

function instanceOf(
  { name, state = {}, lastState, containerID }: ContainerStatus,
  pod: string,
  previous: boolean,
): string {
  const last = lastState?.terminated?.containerID;
  if (previous) {
    if (last) return last;
    throw new HttpError(400, `previous terminated container "${name}" in pod "${pod}" not found`);
  }
  const { running, terminated, waiting } = state;
  if ((running || terminated) && (terminated?.containerID || containerID))
    return terminated?.containerID || containerID!;
  if (last) return last;
  const waits = `container "${name}" in pod "${pod}" is waiting to start`;
  switch (waiting?.reason) {
    case undefined:
      throw new HttpError(400, `${waits} - no logs yet`);
    case 'ErrImagePull':
      throw new HttpError(400, `${waits}: image can't be pulled`);
    case 'ImagePullBackOff':
      throw new HttpError(400, `${waits}: trying and failing to pull image`);
    default:
      throw new HttpError(400, `${waits}: ${waiting!.reason}`);
  }
}
