// The registry: every operation on every resource of the table. Each verb is a file of its own.

import { defaultAdmission } from '../admission/plugins.ts';
import type { ResourceApi } from '../contract.ts';
import { type Connect, connect } from './connect.ts';
import { type Core, DEFAULT_SERVICE_NETWORK, type RegistryOptions } from './context.ts';
import { create } from './create.ts';
import { remove } from './delete.ts';
import { deleteCollection } from './delete-collection.ts';
import { get } from './get.ts';
import { list } from './list.ts';
import { patch } from './patch.ts';
import { update } from './update.ts';
import { watch } from './watch.ts';

export type { RegistryOptions, ServiceNetwork } from './context.ts';

/** kube-apiserver's defaults. */
const FIVE_MINUTES = { notReadyTolerationSeconds: 300, unreachableTolerationSeconds: 300 };

/** Every verb, and the right to connect to what is not stored here. */
export interface Registry extends ResourceApi {
  connect: Connect;
}

/** Nobody is authorized here: put createPipeline (pipeline.ts) around it. */
export function createRegistry(options: RegistryOptions): Registry {
  const core: Core = {
    ...options,
    network: options.network ?? DEFAULT_SERVICE_NETWORK,
    admission: options.admission ?? defaultAdmission(options.tolerationSeconds ?? FIVE_MINUTES),
  };
  return {
    get: (ctx, target, o) => get(core, ctx, target, o),
    list: (ctx, target, o) => list(core, ctx, target, o),
    watch: (ctx, target, o, sink) => watch(core, ctx, target, o, sink),
    create: (ctx, target, body, o) => create(core, ctx, target, body, o),
    update: (ctx, target, body, o) => update(core, ctx, target, body, o),
    patch: (ctx, target, p, o) => patch(core, ctx, target, p, o),
    connect: (...call) => connect(core, ...call),
    delete: (ctx, target, o) => remove(core, ctx, target, o),
    deleteCollection: (ctx, target, o) => deleteCollection(core, ctx, target, o),
  };
}
