// `tsukube drill controller`: runs Drills one after the other, and makes them when their DrillSchedules are due.

import type { KubeObject } from '../../api/object.ts';
import { Tables } from '../../api/tables.ts';
import type { ResourceClient } from '../../client/contract.ts';
import type { EventRecorder } from '../../client/event-recorder.ts';
import { recordEvents } from '../../client/events.ts';
import { type HttpsClient, httpsClient } from '../../client/https.ts';
import { accessFrom, readKubeconfig } from '../../client/kubeconfig.ts';
import type { Layout } from '../../cluster/layout.ts';
import { parseSchedule } from '../../controllers/cron-schedule.ts';
import { rfc3339, sleep } from '../../lib/clock.ts';
import type { Environment } from '../../lib/environment.ts';
import { isReason } from '../../machinery/status.ts';
import type { Drill } from '../faults/drill.ts';
import { describeFault } from '../faults/fault.ts';
import { impossible } from '../faults/possible.ts';
import { DRILLS } from '../faults/table.ts';
import { problemsOf } from '../report/text.ts';
import { parseObjective } from '../run/objective.ts';
import type { DrillResult } from '../run/result.ts';
import { runSession } from '../run/session.ts';
import { DrillRuns, mustBeFree } from '../watchdog/journal.ts';
import { type Action, type DrillObject, decide, SCHEDULE_LABEL, type ScheduleObject, waits } from './decide.ts';
import { type DrillStatus, GROUP, MANIFESTS, VERSION } from './definitions.ts';

export interface ControllerOptions {
  readonly layout: Layout;
  readonly env: Environment;
  readonly program: readonly string[];
  readonly processId: number;
  readonly say: (text: string) => void;
}

const LOOK_MS = 1_000;
const REQUEST_TIMEOUT_MS = 10_000;

type Place = Pick<ControllerOptions, 'layout' | 'env'>;

async function connect({ layout, env }: Place): Promise<HttpsClient> {
  const access = await accessFrom(await readKubeconfig(layout.adminKubeconfig));
  return httpsClient({ access, tables: new Tables(), clock: env.clock, requestTimeoutMs: REQUEST_TIMEOUT_MS });
}

/** Applies the definitions and roles. Twice is harmless; an older definition is brought up to date. */
export async function installDefinitions(place: Place, signal: AbortSignal): Promise<void> {
  const client = await connect(place);
  try {
    for (const body of MANIFESTS) {
      const plural = body.kind === 'ClusterRole' ? 'clusterroles' : 'customresourcedefinitions';
      const path = `/apis/${body.apiVersion}/${plural}/${body.metadata.name}?fieldManager=tsukube-drill&force=true`;
      await client.request('PATCH', path, { body, contentType: 'application/apply-patch+yaml', signal });
    }
  } finally {
    client.close();
  }
}

/** Until the signal aborts; the drill that runs then is aborted, and healed. */
export async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const client = await connect(options);
  const events = recordEvents({ client, env: options.env, component: 'drill-controller' }, signal);
  const controller = new Controller(options, client, events);
  let isDefined = false;
  let said = '';
  try {
    while (!signal.aborted) {
      try {
        if (!isDefined) await installDefinitions(options, signal);
        isDefined = true;
        await controller.reconcile(signal);
      } catch (error) {
        // The API may not be there yet, or be what a drill has broken: it is asked again.
        const { message } = error as Error;
        if (!signal.aborted && message !== said) options.say(message);
        said = message;
      }
      await sleep(options.env.clock, LOOK_MS, signal).catch(() => undefined);
    }
  } finally {
    await controller.close();
    client.close();
  }
}

class Controller {
  readonly #options: ControllerOptions;
  readonly #drills: ResourceClient<KubeObject>;
  readonly #schedules: ResourceClient<KubeObject>;
  readonly #events: EventRecorder;
  #running: { readonly name: string; readonly stop: AbortController; readonly ended: Promise<void> } | undefined;
  /** What a drill has ended with, while the API could not be told. */
  readonly #untold = new Map<string, DrillStatus>();

  constructor(options: ControllerOptions, client: HttpsClient, events: EventRecorder) {
    this.#options = options;
    this.#events = events;
    const of = (resource: string) => client.dynamic({ group: GROUP, version: VERSION, resource, namespaced: false });
    this.#drills = of('drills');
    this.#schedules = of('drillschedules');
  }

  async reconcile(signal: AbortSignal): Promise<void> {
    for (const [name, status] of this.#untold) await this.#tell(name, status);
    // As it was before the look: one that ends meanwhile is seen running, and is not to be taken for one whose controller is gone.
    const running = this.#running?.name;
    const busy = running === undefined ? await this.#busy() : undefined;
    const [drills, schedules] = await Promise.all([this.#drills.list({}, signal), this.#schedules.list({}, signal)]);
    const actions = decide({
      drills: drills.items as readonly DrillObject[],
      schedules: schedules.items as readonly ScheduleObject[],
      running,
      busy,
      nowMs: this.#options.env.clock.now(),
      unreadable,
      next: (schedule, afterMs) => parseSchedule(schedule, undefined).next(afterMs),
    });
    for (const action of actions) await this.#do(action);
  }

  /** `drill run` may be at work. */
  async #busy(): Promise<string | undefined> {
    try {
      await mustBeFree(this.#options.layout);
      return undefined;
    } catch (error) {
      if (error instanceof DrillRuns) return error.message;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#running?.stop.abort(new Error('the controller ends'));
    await this.#running?.ended;
  }

  async #do(action: Action): Promise<void> {
    switch (action.do) {
      case 'start':
        return this.#start(action.drill);
      case 'plan':
        return this.#tell(action.drill.metadata.name, await planned(action.drill));
      case 'abort':
        this.#running?.stop.abort(new Error('aborted'));
        return;
      case 'wait':
      case 'finish':
        return this.#tell(action.drill.metadata.name, action.status);
      case 'remove':
        return this.#drills.delete({ name: action.name });
      case 'judge':
        return this.#judge(action);
      case 'create':
        return this.#create(action);
    }
  }

  async #start(object: DrillObject): Promise<void> {
    const { name } = object.metadata;
    const chosen = choose(object);
    if (typeof chosen === 'string') return this.#tell(name, { phase: 'Failed', message: chosen });
    const { env, say } = this.#options;
    const startTime = rfc3339(env.clock.now());
    await this.#tell(name, { phase: 'Running', message: 'running', startTime });
    const stop = new AbortController();
    const session = {
      ...this.#options,
      objective: object.spec.objective,
      say: (text: string) => say(`${name}: ${text}`),
      onResult: () => undefined,
    };
    const ended = runSession(chosen, session, stop.signal)
      .then(
        (results) => statusOf(results),
        (error: Error): DrillStatus => {
          if (stop.signal.aborted) return { phase: 'Aborted', message: error.message };
          // Somebody was faster: its turn comes yet.
          if (error instanceof DrillRuns) return waits(error.message);
          return { phase: 'Failed', message: error.message };
        },
      )
      .then(async (status) => {
        const whole: DrillStatus =
          status.phase === 'Pending' ? status : { ...status, startTime, completionTime: rfc3339(env.clock.now()) };
        this.#untold.set(name, whole);
        this.#running = undefined;
        await this.#tell(name, whole).catch(() => undefined);
      });
    this.#running = { name, stop, ended };
  }

  async #judge({ schedule, condition }: Extract<Action, { do: 'judge' }>): Promise<void> {
    const { name, uid } = schedule.metadata;
    const { status, reason, message } = condition;
    const before = schedule.status?.conditions?.find(({ type }) => type === condition.type);
    const now = rfc3339(this.#options.env.clock.now());
    const lastTransitionTime = before?.status === status ? (before.lastTransitionTime ?? now) : now;
    const body = { status: { conditions: [{ ...condition, lastTransitionTime }] } };
    await this.#schedules.patch({ name }, { type: 'merge', body }, { subresource: 'status' });
    const subject = { apiVersion: `${GROUP}/${VERSION}`, kind: 'DrillSchedule', name, ...(uid && { uid }) };
    if (status === 'False') this.#events.event(subject, 'Warning', reason, message);
  }

  async #create({ schedule, name, atMs }: Extract<Action, { do: 'create' }>): Promise<void> {
    const { metadata, spec } = schedule;
    const owner = { apiVersion: `${GROUP}/${VERSION}`, kind: 'DrillSchedule', name: metadata.name, uid: metadata.uid! };
    const drill = {
      apiVersion: `${GROUP}/${VERSION}`,
      kind: 'Drill',
      metadata: {
        name,
        labels: { [SCHEDULE_LABEL]: metadata.name },
        ownerReferences: [{ ...owner, controller: true }],
      },
      spec: spec.template,
    };
    await this.#drills.create(drill as unknown as KubeObject).catch((error: unknown) => {
      if (!isReason(error, 'AlreadyExists')) throw error;
    });
    const body = { status: { lastScheduleTime: rfc3339(atMs) } };
    await this.#schedules.patch({ name: metadata.name }, { type: 'merge', body }, { subresource: 'status' });
  }

  async #tell(name: string, status: DrillStatus): Promise<void> {
    await this.#drills
      .patch({ name }, { type: 'merge', body: { status: { reason: null, ...status } } }, { subresource: 'status' })
      .catch((error: unknown) => {
        // Deleted meanwhile: there is nobody to be told.
        if (!isReason(error, 'NotFound')) throw error;
      });
    this.#untold.delete(name);
  }
}

function unreadable(schedule: string): string | undefined {
  try {
    parseSchedule(schedule, undefined);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The drills that it names, or what is wrong about them. */
function choose({ spec }: DrillObject): readonly Drill[] | string {
  try {
    if (spec.objective !== undefined) parseObjective(spec.objective);
  } catch (error) {
    return (error as Error).message;
  }
  const found = spec.drills.map((name) => DRILLS.find((drill) => drill.name === name) ?? name);
  const unknown = found.filter((drill) => typeof drill === 'string');
  if (unknown.length > 0) return `there is no drill ${unknown.map((name) => `"${name}"`).join(', ')}`;
  return found as readonly Drill[];
}

async function planned(object: DrillObject): Promise<DrillStatus> {
  const chosen = choose(object);
  if (typeof chosen === 'string') return { phase: 'Failed', message: chosen };
  const plan: string[] = [];
  for (const { name, steps } of chosen) {
    for (const { fault, atMs, forMs } of steps) {
      const reason = await impossible(fault);
      const when = `after ${atMs / 1000} s${forMs === undefined ? '' : `, for ${forMs / 1000} s`}`;
      plan.push(
        `${name}: ${describeFault(fault)}, ${reason === undefined ? when : `not possible here, because ${reason}`}`,
      );
    }
  }
  return { phase: 'Succeeded', message: 'dry run: nothing was done', plan };
}

function statusOf(results: readonly DrillResult[]): DrillStatus {
  const bad = results.filter(({ outcome }) => outcome !== 'passed' && outcome !== 'impossible');
  return {
    phase: bad.length === 0 ? 'Succeeded' : 'Failed',
    message: bad.length === 0 ? `${results.length} drills` : `${bad.map(({ drill }) => drill).join(', ')} did not pass`,
    results: results.map((result) => ({
      drill: result.drill,
      outcome: result.outcome,
      problems: problemsOf(result),
      measures: Object.fromEntries(Object.entries(result.measures).filter(([, value]) => value !== undefined)),
    })),
  };
}
