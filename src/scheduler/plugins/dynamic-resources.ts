import { type Cycle, type FilterPlugin, type PostFilterPlugin, type PreFilterResult, SKIP } from '../framework.ts';

/** Resource claims are refused, not ignored: a pod that asks for devices must not start without them. */
export const dynamicResources: FilterPlugin & PostFilterPlugin = {
  name: 'DynamicResources',
  preFilter: ({ info }: Cycle): PreFilterResult => {
    const [claim] = info.pod.spec.resourceClaims ?? [];
    if (!claim) return SKIP;
    const reason = `pod resource claim ${claim.name}: dynamic resource allocation is not supported`;
    return { kind: 'reject', rejection: { reasons: [reason], resolvable: false } };
  },
  /** Upstream's words, which come first in every message about a pod that fits nowhere. */
  postFilter: async () => ({ message: 'no new claims to deallocate' }),
};
