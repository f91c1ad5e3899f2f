// Sets of fields, kept in the form in which they are written: FieldsV1 (sigs.k8s.io/structured-merge-diff, fieldpath.Set).
//
// A set is a tree of path elements. What a tree holds under an element is itself a member when it is empty or has ".".
// Trees are readonly, share what they have in common, and are in order: what every function here takes and gives.
import { isJsonObject } from '../../api/json.ts';
import { comparePathElements, isPathElement, type PathElement, SELF } from './path-element.ts';

/** A set; below an element, what is known of that element: LEAF when it is a member and nothing else is. */
export interface FieldSet {
  readonly [element: PathElement]: FieldSet;
}

type Growing = { [element: PathElement]: FieldSet };

/** A member without members below it. As a whole set: the empty one. */
export const LEAF: FieldSet = Object.freeze({});
export const EMPTY_SET = LEAF;

export function isEmptySet(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

function isMember(node: FieldSet): boolean {
  return SELF in node || isEmptySet(node);
}

/** A node out of its members below; undefined when it would say nothing. */
export function nodeOf(member: boolean, below: FieldSet | undefined): FieldSet | undefined {
  if (below === undefined || isEmptySet(below)) return member ? LEAF : undefined;
  return member ? { [SELF]: LEAF, ...below } : below;
}

/** Children in order. `elements` may come in any. */
export function inOrder(node: Growing): FieldSet {
  const elements = Object.keys(node);
  for (let i = 1; i < elements.length; i++) {
    const [before, after] = [elements[i - 1]!, elements[i]!];
    if (before !== SELF && (after === SELF || comparePathElements(before, after) > 0)) return sorted(node, elements);
  }
  return node;
}

function sorted(node: Growing, elements: PathElement[]): FieldSet {
  const ordered: Growing = {};
  elements.sort((a, b) => (a === SELF ? -1 : b === SELF ? 1 : comparePathElements(a, b)));
  for (const element of elements) ordered[element] = node[element]!;
  return ordered;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b || isEmptySet(b)) return a;
  if (isEmptySet(a)) return b;
  return inOrder(unionBelow(a, b));
}

function unionBelow(a: FieldSet, b: FieldSet): Growing {
  const result: Growing = {};
  for (const element in a) if (element !== SELF) result[element] = a[element]!;
  for (const element in b) {
    if (element === SELF) continue;
    const mine = result[element];
    result[element] = mine === undefined ? b[element]! : unionNode(mine, b[element]!);
  }
  return result;
}

function unionNode(a: FieldSet, b: FieldSet): FieldSet {
  if (a === b) return a;
  return nodeOf(isMember(a) || isMember(b), inOrder(unionBelow(a, b)))!;
}

/** Members of `a` that are not in `b`; `a` itself when there is nothing to take away. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return differenceBelow(a, b, false) ?? EMPTY_SET;
}

/** As difference, and what is below a member of `b` goes as well. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  return differenceBelow(a, b, true) ?? EMPTY_SET;
}

/** The children of `a` without those of `b`: `a` itself when nothing changes, undefined when nothing is left. */
function differenceBelow(a: FieldSet, b: FieldSet, recursive: boolean): FieldSet | undefined {
  let result: Growing | undefined;
  for (const element in b) {
    const mine = a[element];
    if (element === SELF || mine === undefined) continue;
    const left = differenceNode(mine, b[element]!, recursive);
    if (left === mine) continue;
    result ??= { ...a };
    if (left === undefined) delete result[element];
    else result[element] = left;
  }
  if (result === undefined) return a;
  delete result[SELF];
  return isEmptySet(result) ? undefined : result;
}

function differenceNode(a: FieldSet, b: FieldSet, recursive: boolean): FieldSet | undefined {
  const taken = isMember(b);
  if (recursive && taken) return undefined;
  const member = isMember(a);
  if (isEmptySet(a)) return taken ? undefined : a;
  const below = differenceBelow(a, b, recursive);
  if (below === a && !(member && taken)) return a;
  return nodeOf(member && !taken, withoutSelf(below));
}

function withoutSelf(node: FieldSet | undefined): FieldSet | undefined {
  if (node === undefined || !(SELF in node)) return node;
  const { [SELF]: _, ...rest } = node;
  return rest;
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return intersectionBelow(a, b) ?? EMPTY_SET;
}

function intersectionBelow(a: FieldSet, b: FieldSet): FieldSet | undefined {
  let result: Growing | undefined;
  for (const element in a) {
    const other = b[element];
    if (element === SELF || other === undefined) continue;
    const both = nodeOf(isMember(a[element]!) && isMember(other), intersectionBelow(a[element]!, other));
    if (both === undefined) continue;
    result ??= {};
    result[element] = both;
  }
  return result;
}

export function hasPath(set: FieldSet, path: readonly PathElement[]): boolean {
  let node: FieldSet | undefined = set;
  for (const element of path) {
    node = node[element];
    if (node === undefined) return false;
  }
  return path.length > 0 && isMember(node);
}

/** The members below an element, as a set of their own; undefined when there are none. */
export function below(set: FieldSet, element: PathElement): FieldSet | undefined {
  const node = set[element];
  if (node === undefined || isEmptySet(node)) return undefined;
  const rest = withoutSelf(node)!;
  return isEmptySet(rest) ? undefined : rest;
}

export function hasElement(set: FieldSet, element: PathElement): boolean {
  const node = set[element];
  return node !== undefined && isMember(node);
}

export function setOfPath(path: readonly PathElement[]): FieldSet {
  return path.reduceRight<FieldSet>((inner, element) => ({ [element]: inner }), LEAF);
}

export function setOfPaths(paths: readonly (readonly PathElement[])[]): FieldSet {
  return paths.reduce<FieldSet>((set, path) => union(set, setOfPath(path)), EMPTY_SET);
}

/** Every member's path: those of one level before those below it, as upstream lists them. */
export function pathsOf(set: FieldSet, prefix: readonly PathElement[] = []): PathElement[][] {
  const paths: PathElement[][] = [];
  for (const element in set) if (element !== SELF && isMember(set[element]!)) paths.push([...prefix, element]);
  for (const element in set) if (element !== SELF) paths.push(...pathsOf(set[element]!, [...prefix, element]));
  return paths;
}

/** Text that is no FieldsV1. */
export class FieldSetError extends Error {
  override name = 'FieldSetError';
}

/** A set that a client sent: checked and in order. Elements of kinds that are not known are left out, as upstream does. */
export function readFieldSet(value: unknown): FieldSet {
  if (value === undefined || value === null) return EMPTY_SET;
  if (!isJsonObject(value)) throw new FieldSetError('expect { or n');
  const result: Growing = {};
  for (const [key, inner] of Object.entries(value)) {
    if (key === SELF) continue;
    if (key.length < 2) throw new FieldSetError('parsing key as path element: key must be 2 characters long:');
    if (key[1] !== ':') throw new FieldSetError(`parsing key as path element: missing colon: ${key}`);
    if (!isPathElement(key)) continue;
    if (!isJsonObject(inner)) throw new FieldSetError('expect { or n');
    const node = nodeOf(SELF in inner || Object.keys(inner).length === 0, readFieldSet(inner));
    if (node !== undefined) result[key] = node;
  }
  return inOrder(result);
}
