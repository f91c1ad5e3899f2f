// MutatingWebhookConfiguration and ValidatingWebhookConfiguration: conditions that cannot be read. All other rules are in the
// validation tables.
import type { MutatingWebhookConfiguration } from '../../api/generated/types.ts';
import { conditionProblem } from '../admission/webhooks/conditions.ts';
import { invalidValue } from './field-errors.ts';
import { defineStrategy } from './strategy.ts';

export const webhookConfigurationStrategy = defineStrategy<MutatingWebhookConfiguration>({
  countsGenerations: true,
  unconditionalUpdate: false,
  validate: ({ webhooks = [] }) =>
    webhooks.flatMap(({ matchConditions = [] }, i) =>
      matchConditions.flatMap(({ expression }, j) => {
        // Of one that is missing the tables say so.
        const problem = expression?.trim() ? conditionProblem(expression) : undefined;
        return problem ? [invalidValue(`webhooks[${i}].matchConditions[${j}].expression`, expression, problem)] : [];
      }),
    ),
});
