// Counts given as a number or as a percentage of a total (intstr of k8s.io/apimachinery).

export type IntOrString = number | string;

/**
 * The count that `value` means: a number as it is, "25%" of `total` rounded up or down.
 * Throws Error with upstream's message for any other string.
 */
export function scaledCount(value: IntOrString, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  if (!value.endsWith('%')) throw new Error('invalid value for IntOrString: invalid type: string is not a percentage');
  const digits = value.slice(0, -1);
  if (!/^[+-]?\d+$/.test(digits)) {
    throw new Error(
      `invalid value for IntOrString: invalid value ${JSON.stringify(value)}: strconv.Atoi: parsing ${JSON.stringify(digits)}: invalid syntax`,
    );
  }
  const exact = (Number(digits) * total) / 100;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}

/**
 * How many pods a rolling update of `desired` may have above and be without: surge rounds up, unavailable down, and
 * when both come out as nothing one may be unavailable, or the update could not move.
 */
export function rollingUpdateBounds(
  maxSurge: IntOrString | undefined,
  maxUnavailable: IntOrString | undefined,
  desired: number,
): { surge: number; unavailable: number } {
  const surge = scaledCount(maxSurge ?? 0, desired, 'up');
  const unavailable = scaledCount(maxUnavailable ?? 0, desired, 'down');
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : unavailable };
}
