// JSON Merge Patch (RFC 7386).
import { cloneJson, isJsonObject, setMember } from '../../api/json.ts';
import { badRequest } from '../status.ts';

type Members = { [key: string]: unknown };

/**
 * The document with the patch applied; neither is changed, and the result shares what the patch does not touch.
 * Throws a BadRequest Status for a patch that is no object.
 */
export function applyMergePatch<T extends object>(document: T, patch: unknown): T {
  if (!isJsonObject(patch)) throw badRequest('Invalid JSON Patch');
  return merge(document, patch) as T;
}

function merge(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return cloneJson(patch);
  const before: Members = isJsonObject(target) ? target : {};
  const after: Members = {};
  for (const key of Object.keys(before)) {
    if (!Object.hasOwn(patch, key)) setMember(after, key, before[key]);
    else if (patch[key] !== null && patch[key] !== undefined) setMember(after, key, merge(before[key], patch[key]));
  }
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value !== null && value !== undefined && !Object.hasOwn(before, key))
      setMember(after, key, merge(undefined, value));
  }
  return after;
}
