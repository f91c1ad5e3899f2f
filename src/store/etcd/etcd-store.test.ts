import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLog } from '../../lib/log.ts';
import { storeContract } from '../contract.suite.ts';
import { EtcdStore } from './etcd-store.ts';
import { EtcdModel, restoreModel } from './model.ts';

storeContract('etcd (model)', async () => {
  const clock = new FakeClock();
  const open = (model: EtcdModel): EtcdStore => new EtcdStore({ rpc: model.client(), clock, log: silentLog });
  const store = open(new EtcdModel(clock));
  return {
    store,
    clock,
    remote: true,
    restore: async (snapshot) => open(await restoreModel(clock, snapshot)),
    dispose: () => store.close(),
  };
});
