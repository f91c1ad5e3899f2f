// A kind's strategy with the rules of the validation tables in front of its own checks.
import type { KubeObject } from '../../../api/object.ts';
import type { Resource } from '../../../api/tables.ts';
import type { FieldError } from '../../../machinery/status.ts';
import type { Strategy, UpdateRules } from '../strategy.ts';
import { builtInValidator } from './interpreter.ts';
import type { Members } from './rules.ts';

/** Endpoints that change what the rules are about: for the others (status, approval) only their own checks hold. */
const RULED_ENDPOINTS = new Set(['ephemeralcontainers', 'resize']);

export function withRules(resource: Resource, strategy: Strategy): Strategy {
  const findings = (object: KubeObject, old?: KubeObject): readonly FieldError[] =>
    builtInValidator().validate(resource.type, object as unknown as Members, old as unknown as Members | undefined);
  const ruled = (own: UpdateRules['validateUpdate']): NonNullable<UpdateRules['validateUpdate']> => {
    return (object, old, scope) => merged(findings(object, old), own?.(object, old, scope));
  };
  const endpoints = Object.entries(strategy.endpoints ?? {}).map(([name, rules]) => [
    name,
    RULED_ENDPOINTS.has(name) ? { ...rules, validateUpdate: ruled(rules.validateUpdate) } : rules,
  ]);
  return {
    ...strategy,
    validate: (object, scope) => merged(findings(object), strategy.validate?.(object, scope)),
    validateUpdate: ruled(
      strategy.validateUpdate ?? ((object, _old, scope) => strategy.validate?.(object, scope) ?? []),
    ),
    ...(endpoints.length > 0 && { endpoints: Object.fromEntries(endpoints) }),
  };
}

/** The same finding of both is one finding. */
function merged(a: readonly FieldError[], b: readonly FieldError[] = []): readonly FieldError[] {
  if (a.length + b.length < 2) return a.length > 0 ? a : b;
  const byText = new Map<string, FieldError>();
  for (const found of [...a, ...b]) {
    const key = `${found.reason} ${found.field} ${found.message}`;
    if (!byText.has(key)) byText.set(key, found);
  }
  return [...byText.values()];
}
