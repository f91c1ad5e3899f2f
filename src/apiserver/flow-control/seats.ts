// How many requests each priority level may have under way at once. The server's seats are divided by shares; of those that
// a level does not use it lends a part to others, and has them back as their requests end. What it does not lend is its
// own at every moment, whatever others do.

export interface SeatOptions {
  readonly shares: number;
  /** Of its seats, what others may use while it does not; 0 to 100. */
  readonly lendablePercent: number;
  /** Of its seats, what it may use of others' besides; absent: whatever they lend. */
  readonly borrowingLimitPercent?: number;
}

export interface Account {
  nominal: number;
  lendable: number;
  borrowing: number;
  /** Of its own seats, those that its requests hold. */
  own: number;
  /** Of its own seats, those that others hold. */
  lent: number;
  /** Of others' seats, those that its requests hold. */
  borrowed: number;
  /** Its requests that find no seats: while there is one it lends nothing more. */
  waiting: number;
}

/** The seats that a request holds, by whose they are. */
export interface Grant {
  readonly to: Account;
  readonly own: number;
  readonly from: readonly (readonly [lender: Account, seats: number])[];
}

export const emptyAccount = (): Account => ({
  nominal: 0,
  lendable: 0,
  borrowing: 0,
  own: 0,
  lent: 0,
  borrowed: 0,
  waiting: 0,
});

/** Divides `total` seats; each level has at least one. */
export function apportion(total: number, levels: ReadonlyMap<Account, SeatOptions>): void {
  let shares = 0;
  for (const options of levels.values()) shares += options.shares;
  for (const [account, { shares: own, lendablePercent, borrowingLimitPercent }] of levels) {
    account.nominal = Math.max(1, Math.ceil((total * own) / Math.max(1, shares)));
    account.lendable = Math.round((account.nominal * lendablePercent) / 100);
    account.borrowing =
      borrowingLimitPercent === undefined ? total : Math.round((account.nominal * borrowingLimitPercent) / 100);
  }
}

/** Seats for a request, or undefined when there are not so many now. One wider than its level takes the level whole. */
export function grant(to: Account, wanted: number, all: Iterable<Account>): Grant | undefined {
  const seats = Math.min(wanted, to.nominal);
  const own = Math.min(seats, Math.max(0, to.nominal - to.own - to.lent));
  let missing = seats - own;
  if (missing === 0) {
    to.own += own;
    return { to, own, from: NOTHING };
  }
  if (to.borrowed + missing > to.borrowing) return undefined;
  const from: [Account, number][] = [];
  for (const lender of all) {
    if (lender === to || lender.waiting > 0) continue;
    const free = Math.min(lender.lendable - lender.lent, lender.nominal - lender.own - lender.lent);
    if (free <= 0) continue;
    const taken = Math.min(free, missing);
    from.push([lender, taken]);
    missing -= taken;
    if (missing === 0) break;
  }
  if (missing > 0) return undefined;
  to.own += own;
  for (const [lender, taken] of from) {
    lender.lent += taken;
    to.borrowed += taken;
  }
  return { to, own, from };
}

const NOTHING: Grant['from'] = [];

/** Gives the seats back to whose they are. */
export function release({ to, own, from }: Grant): void {
  to.own -= own;
  for (const [lender, seats] of from) {
    lender.lent -= seats;
    to.borrowed -= seats;
  }
}
