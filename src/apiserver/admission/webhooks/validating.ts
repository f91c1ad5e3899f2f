// ValidatingAdmissionWebhook: webhooks that judge what is about to be stored, deleted or connected to, all at once.
import type { AdmissionPlugin } from '../plugin.ts';
import { ask } from './ask.ts';
import { hooksOf } from './hooks.ts';
import { isExempt } from './matching.ts';

export const validatingWebhooks: AdmissionPlugin = {
  name: 'ValidatingAdmissionWebhook',
  operations: ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'],
  resources: 'all',
  validate(world, request, object) {
    const hooks = isExempt(request) ? [] : hooksOf(world, 'validatingwebhookconfigurations');
    if (hooks.length === 0) return undefined;
    const judged = hooks.map((hook) => ask(world, hook, request, object ?? request.connect, false));
    return Promise.allSettled(judged).then((verdicts) => {
      // The first refusal, in the order of the configurations: not the quickest.
      const refusal = verdicts.find((verdict) => verdict.status === 'rejected');
      if (refusal) throw refusal.reason;
    });
  },
};
