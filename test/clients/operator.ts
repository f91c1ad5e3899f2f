// An operator as people write them on kubernetes-fluent-client: it brings its CRD, watches Shops and lays a Deployment over
// each. It knows nothing of tsukube; its configuration is the kubeconfig that the environment names.
import { GenericKind, K8s, kind, RegisterKind, WatchEvent } from 'kubernetes-fluent-client';

const GROUP = 'example.com';

class Shop extends GenericKind {
  declare spec: { image: string; replicas: number };
  declare status?: { observedGeneration?: number; availableReplicas?: number };
}
RegisterKind(Shop, { group: GROUP, version: 'v1', kind: 'Shop', plural: 'shops' });

const definition = {
  metadata: { name: `shops.${GROUP}` },
  spec: {
    group: GROUP,
    scope: 'Namespaced' as const,
    names: { plural: 'shops', singular: 'shop', kind: 'Shop', shortNames: ['sh'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: [{ name: 'Available', type: 'integer', jsonPath: '.status.availableReplicas' }],
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: {
                type: 'object',
                required: ['image'],
                properties: { image: { type: 'string' }, replicas: { type: 'integer', minimum: 0, default: 1 } },
                'x-kubernetes-validations': [{ rule: "self.image != 'forbidden'", message: 'image is forbidden' }],
              },
              status: {
                type: 'object',
                properties: { observedGeneration: { type: 'integer' }, availableReplicas: { type: 'integer' } },
              },
            },
          },
        },
      },
    ],
  },
};

/** A phase that means that there is nothing to do any more; its enum is not among what the package exports. */
const isGone = (phase: string, object: { metadata?: { deletionTimestamp?: unknown } }): boolean =>
  phase === 'DELETED' || object.metadata?.deletionTimestamp !== undefined;

async function reconcile(shop: Shop): Promise<void> {
  const { name = '', namespace = '', uid = '' } = shop.metadata ?? {};
  const labels = { shop: name };
  await K8s(kind.Deployment).Apply(
    {
      metadata: {
        name,
        namespace,
        labels,
        ownerReferences: [{ apiVersion: `${GROUP}/v1`, kind: 'Shop', name, uid, controller: true }],
      },
      spec: {
        replicas: shop.spec.replicas,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: 'web', image: shop.spec.image }] } },
      },
    },
    { force: true },
  );
}

async function report(deployment: kind.Deployment): Promise<void> {
  const { name = '', namespace = '' } = deployment.metadata ?? {};
  const shop = await K8s(Shop).InNamespace(namespace).Get(name);
  await K8s(Shop).PatchStatus({
    metadata: { name, namespace },
    spec: shop.spec,
    status: {
      observedGeneration: shop.metadata?.generation ?? 0,
      availableReplicas: deployment.status?.availableReplicas ?? 0,
    },
  });
}

/** Watches again soon after a failure: whoever tests waits for it. */
const timing = { resyncDelaySec: 1, lastSeenLimitSeconds: 5, relistIntervalSec: 60 };

await K8s(kind.CustomResourceDefinition).Apply(definition, { force: true });
for (let served = false; !served; ) {
  served = await K8s(Shop)
    .Get()
    .then(
      () => true,
      () => false,
    );
}
const shops = K8s(Shop).Watch(async (shop, phase) => {
  console.log(`${phase} shop ${shop.metadata?.name}`);
  if (!isGone(phase, shop)) await reconcile(shop);
}, timing);
const deployments = K8s(kind.Deployment)
  .WithLabel('shop')
  .Watch(async (deployment, phase) => {
    if (!isGone(phase, deployment)) await report(deployment);
  }, timing);
for (const watcher of [shops, deployments]) {
  for (const event of [WatchEvent.CONNECT, WatchEvent.NETWORK_ERROR, WatchEvent.DATA_ERROR, WatchEvent.LIST_ERROR]) {
    watcher.events.on(event, (detail: unknown) => console.log(event, detail));
  }
  await watcher.start();
}
console.log('operating');
