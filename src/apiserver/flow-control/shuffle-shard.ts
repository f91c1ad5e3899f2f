// Which queues a flow may use. Each flow is dealt a small hand of a level's queues: two flows seldom hold the same hand, so
// that a flow which fills its own queues leaves every other flow at least one that is short.

const FNV_PRIME = 0x01000193;
const FNV_OFFSET = 0x811c9dc5;
const OTHER_OFFSET = 0x9747b28c;
/** What a double holds exactly: more hands than any level deals. */
const HIGH_BITS = 0x1fffff;

/** A number below 2^53 for a flow: the schema and what it tells its flows apart by. */
export function flowHash(schema: string, distinguisher: string): number {
  const text = `${schema}\n${distinguisher}`;
  let low = FNV_OFFSET;
  let high = OTHER_OFFSET;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    low = Math.imul(low ^ code, FNV_PRIME);
    high = Math.imul(high ^ code, 0x85ebca6b);
    high ^= high >>> 13;
  }
  return (mixed(high) & HIGH_BITS) * 0x1_0000_0000 + mixed(low ^ high);
}

function mixed(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Deals `hand` different cards of a deck of `deck`; the same ones for the same hash. */
export function dealHand(hash: number, deck: number, hand: number): number[] {
  let rest = hash;
  const dealt: number[] = [];
  const inOrder: number[] = [];
  for (let i = 0; i < Math.min(hand, deck); i++) {
    const left = deck - i;
    let card = rest % left;
    rest = Math.floor(rest / left);
    // The card-th of those that are still in the deck.
    let place = 0;
    while (place < inOrder.length && inOrder[place]! <= card) {
      card++;
      place++;
    }
    inOrder.splice(place, 0, card);
    dealt.push(card);
  }
  return dealt;
}
