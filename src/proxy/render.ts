// nft's language. Every name and address in it comes from validated objects; nothing is quoted.

import type { IpFamily } from '../network/address.ts';
import { MARK_FOR_MASQUERADE, REJECT } from './names.ts';
import type { Match, Rule, Verdict } from './rules.ts';
import { FAMILIES, type NftFamily, type TableOptions } from './table.ts';
import type { Operation } from './transaction.ts';
import { atOnce, LINES_PER_TURN } from './turns.ts';

/** An affinity set holds at most this many clients; later ones are spread as if there were no affinity. */
export const AFFINITY_SET_SIZE = 65535;

export function renderRule(rule: Rule, family: IpFamily): string {
  const nft = FAMILIES[family];
  return [...rule.when.map((match) => renderMatch(match, nft)), renderAction(rule, nft)].join(' ');
}

export function renderVerdict(verdict: Verdict): string {
  if (verdict === 'reject') return `goto ${REJECT}`;
  return verdict === 'drop' ? 'drop' : `goto ${verdict.goto}`;
}

/** One line of a file for `nft -f`. */
export function renderOperation(operation: Operation, options: TableOptions): string {
  const nft = FAMILIES[options.family];
  const table = `${nft.table} ${options.table}`;
  switch (operation.op) {
    case 'addChain':
      return `add chain ${table} ${operation.chain}`;
    case 'flushChain':
      return `flush chain ${table} ${operation.chain}`;
    case 'deleteChain':
      return `delete chain ${table} ${operation.chain}`;
    case 'addRule':
      return `add rule ${table} ${operation.chain} ${operation.rule}`;
    case 'addAffinitySet':
      return `add set ${table} ${operation.set} { type ${nft.addressType} ; size ${AFFINITY_SET_SIZE} ; flags dynamic,timeout ; timeout ${operation.timeoutSeconds}s ; }`;
    case 'deleteSet':
      return `delete set ${table} ${operation.set}`;
    case 'addElement': {
      const verdict = operation.verdict === undefined ? '' : ` : ${operation.verdict}`;
      return `add element ${table} ${operation.map} { ${operation.key}${verdict} }`;
    }
    case 'deleteElement':
      return `delete element ${table} ${operation.map} { ${operation.key} }`;
  }
}

export function renderOperations(operations: readonly Operation[], options: TableOptions): string {
  return atOnce(renderInTurns(operations, options));
}

export function* renderInTurns(operations: readonly Operation[], options: TableOptions): Generator<void, string> {
  let text = '';
  for (const [i, operation] of operations.entries()) {
    text += `${renderOperation(operation, options)}\n`;
    if (i % LINES_PER_TURN === LINES_PER_TURN - 1) yield;
  }
  return text;
}

export function renderRanges(ranges: readonly string[]): string {
  return ranges.length === 1 ? ranges[0]! : `{ ${ranges.join(', ')} }`;
}

function renderMatch(match: Match, nft: NftFamily): string {
  switch (match.match) {
    case 'source':
      return `${nft.header} saddr ${renderRanges(match.ranges)}`;
    case 'sourceOutside':
      return `${nft.header} saddr != ${renderRanges(match.ranges)}`;
    case 'sourceIsLocal':
      return 'fib saddr type local';
    case 'destination':
      return `${nft.header} daddr ${match.address} ${match.protocol} dport ${match.port}`;
    case 'remembered':
      return `${nft.header} saddr @${match.set}`;
  }
}

function renderAction(rule: Rule, nft: NftFamily): string {
  const action = rule.action;
  switch (action.do) {
    case 'markForMasquerade':
      return `jump ${MARK_FOR_MASQUERADE}`;
    case 'goto':
      return `goto ${action.chain}`;
    case 'spread': {
      if (action.chains.length === 1) return `goto ${action.chains[0]}`;
      const choices = action.chains.map((chain, i) => `${i} : goto ${chain}`);
      return `numgen random mod ${choices.length} vmap { ${choices.join(', ')} }`;
    }
    case 'remember':
      return `update @${action.set} { ${nft.header} saddr }`;
    case 'dnat':
      return `meta l4proto ${action.protocol} dnat to ${nft.bracket(action.address)}:${action.port}`;
    case 'drop':
      return 'drop';
  }
}
