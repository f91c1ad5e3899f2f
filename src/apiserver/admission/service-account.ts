import type { Container, Pod, ServiceAccount, Volume } from '../../api/generated/types.ts';
import type { Draft } from '../../api/object.ts';
import { sleep } from '../../lib/clock.ts';
import { nameSuffix } from '../../lib/random.ts';
import { forbidden, StatusError } from '../../machinery/status.ts';
import type { AdmissionPlugin, AdmissionWorld } from './plugin.ts';

const PODS = { group: '', resource: 'pods' };
const VOLUME_PREFIX = 'kube-api-access-';
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
/** An hour and a little, so that kubelets renew before clients notice. */
const TOKEN_SECONDS = 3607;
/** A namespace's own account is made by a controller: pods of a new namespace wait for it, this often, this long. */
const DEFAULT_ACCOUNT = 'default';
const DEFAULT_ACCOUNT_ATTEMPTS = 10;
const RETRY_MS = { least: 100, spread: 100 };
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';

/** Gives a pod its service account: name, token volume, image pull secrets. */
export const serviceAccount: AdmissionPlugin = {
  name: 'ServiceAccount',
  operations: ['CREATE'],
  resources: ['pods'],
  async admit(world, _request, object) {
    const pod = object as unknown as Draft<Pod>;
    if (pod.metadata.annotations?.[MIRROR_ANNOTATION] !== undefined) return checkMirror(pod as Pod);
    pod.spec.serviceAccountName ||= DEFAULT_ACCOUNT;
    pod.spec.serviceAccount = pod.spec.serviceAccountName;
    const account = await accountOf(world, pod as Pod);
    if (automounts(account, pod as Pod)) mountToken(pod, world);
    if ((pod.spec.imagePullSecrets ?? []).length === 0 && account.imagePullSecrets) {
      pod.spec.imagePullSecrets = account.imagePullSecrets.map((secret) => ({ ...secret }));
    }
  },
};

/** A static pod's mirror has no access to the API. */
function checkMirror(pod: Pod): void {
  if (pod.spec.serviceAccountName)
    throw forbidden(PODS, pod.metadata.name, 'a mirror pod may not reference service accounts');
  for (const volume of pod.spec.volumes ?? []) {
    if (volume.secret) throw forbidden(PODS, pod.metadata.name, 'a mirror pod may not reference secrets');
    if (volume.projected?.sources?.some((source) => source.serviceAccountToken)) {
      throw forbidden(PODS, pod.metadata.name, 'a mirror pod may not use ServiceAccountToken volume projections');
    }
  }
}

async function accountOf(world: AdmissionWorld, pod: Pod): Promise<ServiceAccount> {
  const { namespace = '', name: podName } = pod.metadata;
  const name = pod.spec.serviceAccountName ?? '';
  const account = await findAccount(world, namespace, name);
  if (account) return account;
  const why = `error looking up service account ${namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`;
  const error = forbidden(PODS, podName, why);
  throw new StatusError('Forbidden', error.message, error.details);
}

async function findAccount(
  world: AdmissionWorld,
  namespace: string,
  name: string,
): Promise<ServiceAccount | undefined> {
  const { clock, random } = world.env;
  const cached = world.get('', 'serviceaccounts', namespace, name);
  if (cached) return cached as ServiceAccount;
  const attempts = name === DEFAULT_ACCOUNT ? DEFAULT_ACCOUNT_ATTEMPTS : 1;
  const retryMs = RETRY_MS.least + random.next() * RETRY_MS.spread;
  for (let attempt = 1; ; attempt++) {
    const account = await world.present('', 'serviceaccounts', namespace, name);
    if (account) return account as ServiceAccount;
    if (attempt === attempts) return undefined;
    await sleep(clock, retryMs, world.ctx.signal);
  }
}

function automounts(account: ServiceAccount, pod: Pod): boolean {
  return pod.spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
}

function mountToken(pod: Draft<Pod>, world: AdmissionWorld): void {
  const volumes = pod.spec.volumes ?? [];
  pod.spec.volumes = volumes;
  const existing = volumes.find((volume) => volume.name.startsWith(VOLUME_PREFIX));
  const name = existing?.name ?? `${VOLUME_PREFIX}${nameSuffix(world.env.random)}`;
  let mounted = false;
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    if (container.volumeMounts?.some((mount) => mount.mountPath === MOUNT_PATH)) continue;
    mountInto(container, name);
    mounted = true;
  }
  if (!existing && mounted) volumes.push(tokenVolume(name));
}

function mountInto(container: Draft<Container>, name: string): void {
  container.volumeMounts = [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: MOUNT_PATH }];
}

function tokenVolume(name: string): Draft<Volume> {
  const fieldRef = { apiVersion: 'v1', fieldPath: 'metadata.namespace' };
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef }] } },
      ],
      defaultMode: 0o644,
    },
  };
}
