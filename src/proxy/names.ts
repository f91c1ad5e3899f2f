// Chains that every Service's rules may refer to.
export const MARK_FOR_MASQUERADE = 'mark-for-masquerade';
export const REJECT = 'reject-service';
