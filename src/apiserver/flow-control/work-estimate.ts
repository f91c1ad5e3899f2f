/** How many seats a list takes at most, and how many objects one seat is for: upstream's. */
export const MAX_LIST_SEATS = 10;
const OBJECTS_PER_SEAT = 100;

export interface Listed {
  /** Of the resource in the whole cluster. */
  readonly objects: number;
  /** As asked for; undefined: all. */
  readonly limit: number | undefined;
  /** Selectors are looked for in all objects, also when few are wanted. */
  readonly isSelective: boolean;
}

/** The seats of a list: in proportion to the objects that are gone through. */
export function listSeats({ objects, limit, isSelective }: Listed): number {
  const visited = limit === undefined || isSelective ? objects : Math.min(objects, limit);
  return Math.max(1, Math.min(MAX_LIST_SEATS, Math.ceil(visited / OBJECTS_PER_SEAT)));
}
