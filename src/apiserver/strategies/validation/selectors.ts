// Selectors of labels and nodes, tolerations and taints.
import type {
  LabelSelectorRequirement,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  Toleration,
} from '../../../api/generated/types.ts';
import { FORMATS } from './formats.ts';
import type { FieldRule, RuleTable } from './rules.ts';
import type { Run } from './run.ts';

export const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
const NOT_OPERATOR = 'not a valid selector operator';
const VALUES_WANTED = "must be specified when `operator` is 'In' or 'NotIn'";
const VALUES_UNWANTED = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
const WEIGHT: FieldRule = { min: 1, max: 100, range: 'must be in the range 1-100' };

/** A map of labels: upstream reports keys and values at the map. */
export function checkLabels(labels: { readonly [key: string]: string } | undefined, at: string, run: Run): void {
  for (const key in labels) {
    run.invalidEach(at, key, FORMATS.qualifiedName(key));
    run.invalidEach(at, labels[key], FORMATS.labelValue(labels[key]!));
  }
}

function checkLabelRequirement(rule: LabelSelectorRequirement, run: Run): void {
  const values = rule.values ?? [];
  if (rule.operator === 'In' || rule.operator === 'NotIn') {
    if (values.length === 0) run.required('values', VALUES_WANTED);
  } else if (rule.operator === 'Exists' || rule.operator === 'DoesNotExist') {
    if (values.length > 0) run.forbidden('values', VALUES_UNWANTED);
  } else run.invalid('operator', rule.operator, NOT_OPERATOR);
  run.invalidEach('key', rule.key, FORMATS.qualifiedName(rule.key));
  for (const [i, value] of values.entries()) run.invalidEach(`values[${i}]`, value, FORMATS.labelValue(value));
}

function checkNodeRequirement(rule: NodeSelectorRequirement, at: string, run: Run): void {
  const values = rule.values ?? [];
  const under = (name: string): string => `${at}.${name}`;
  if (rule.operator === 'In' || rule.operator === 'NotIn') {
    if (values.length === 0) run.required(under('values'), VALUES_WANTED);
  } else if (rule.operator === 'Exists' || rule.operator === 'DoesNotExist') {
    if (values.length > 0) run.forbidden(under('values'), VALUES_UNWANTED);
  } else if (rule.operator === 'Gt' || rule.operator === 'Lt') {
    const text = "must be specified single value when `operator` is 'Lt' or 'Gt'";
    if (values.length !== 1) run.required(under('values'), text);
  } else run.invalid(under('operator'), rule.operator, NOT_OPERATOR);
  run.invalidEach(under('key'), rule.key, FORMATS.qualifiedName(rule.key));
}

function checkFieldRequirement(rule: NodeSelectorRequirement, at: string, run: Run): void {
  const values = rule.values ?? [];
  if (rule.operator !== 'In' && rule.operator !== 'NotIn') run.invalid(`${at}.operator`, rule.operator, NOT_OPERATOR);
  else if (values.length !== 1) {
    const text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
    run.required(`${at}.values`, text);
  }
  if (rule.key !== 'metadata.name') {
    run.invalid(`${at}.key`, rule.key, 'not a valid field selector key');
    return;
  }
  for (const [i, value] of values.entries()) run.invalidEach(`${at}.values[${i}]`, value, FORMATS.dnsSubdomain(value));
}

/** Values that are no labels can never match; for preferences upstream lets them be. */
function checkRequiredTerms(selector: { nodeSelectorTerms?: readonly NodeSelectorTerm[] }, run: Run): void {
  for (const [i, term] of (selector.nodeSelectorTerms ?? []).entries()) {
    for (const [j, rule] of (term.matchExpressions ?? []).entries()) {
      const at = `nodeSelectorTerms[${i}].matchExpressions[${j}].values`;
      for (const [k, value] of (rule.values ?? []).entries()) {
        run.invalidEach(`${at}[${k}]`, value, FORMATS.labelValue(value));
      }
    }
  }
}

function checkToleration(t: Toleration, run: Run): void {
  const { key = '', operator = '', value = '', effect = '' } = t;
  if (key) run.invalidEach('key', key, FORMATS.qualifiedName(key));
  if (!key && operator !== 'Exists') {
    run.invalid(
      'operator',
      operator,
      'operator must be Exists when `key` is empty, which means "match all values and all keys"',
    );
  }
  if (t.tolerationSeconds !== undefined && effect !== 'NoExecute') {
    run.invalid('effect', effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
  }
  if (operator === 'Equal' || operator === '') {
    const problems = FORMATS.labelValue(value);
    if (problems.length > 0) run.invalid('operator', value, problems.join(';'));
  } else if (operator === 'Exists') {
    if (value) run.invalid('operator', value, "value must be empty when `operator` is 'Exists'");
  } else if (operator === 'Lt' || operator === 'Gt') {
    if (!/^(0|-?[1-9][0-9]*)$/.test(value))
      run.invalid('value', value, "must be a valid integer when `operator` is 'Lt' or 'Gt'");
  } else run.unsupported('operator', operator, ['Equal', 'Exists']);
  if (effect && !EFFECTS.includes(effect)) run.unsupported('effect', effect, EFFECTS);
}

export const SELECTOR_RULES: RuleTable = {
  'meta.v1.LabelSelector': {
    check(selector: { matchLabels?: { readonly [key: string]: string } }, run: Run) {
      if (selector.matchLabels) checkLabels(selector.matchLabels, 'matchLabels', run);
    },
  },
  'meta.v1.LabelSelectorRequirement': {
    fields: { key: { required: false }, operator: { required: false } },
    check: checkLabelRequirement,
  },
  'core.v1.NodeSelector': {
    fields: { nodeSelectorTerms: { required: 'must have at least one node selector term' } },
    check: checkRequiredTerms,
  },
  'core.v1.NodeSelectorTerm': {
    fields: { matchExpressions: { opaque: true }, matchFields: { opaque: true } },
    check(term: NodeSelectorTerm, run: Run) {
      for (const [i, rule] of (term.matchExpressions ?? []).entries()) {
        checkNodeRequirement(rule, `matchExpressions[${i}]`, run);
      }
      for (const [i, rule] of (term.matchFields ?? []).entries()) checkFieldRequirement(rule, `matchFields[${i}]`, run);
    },
  },
  'core.v1.PreferredSchedulingTerm': { fields: { weight: WEIGHT } },
  'core.v1.WeightedPodAffinityTerm': { fields: { weight: WEIGHT } },
  'core.v1.Toleration': { fields: { operator: { closed: false }, effect: { closed: false } }, check: checkToleration },
  'core.v1.TopologySelectorLabelRequirement': {
    fields: { key: { required: false, format: 'qualifiedName' }, values: { required: true, unique: true } },
  },
  'core.v1.TopologySelectorTerm': { fields: { matchLabelExpressions: { unique: 'key' } } },
};
