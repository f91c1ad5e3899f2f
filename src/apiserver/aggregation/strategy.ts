// APIService: what its name, place and priorities have to be.
import type { APIService } from '../../api/generated/types.ts';
import { dns1035LabelProblems, dnsSubdomainProblems } from '../../machinery/names.ts';
import type { FieldError } from '../../machinery/status.ts';
import { eachInvalid, invalidValue, required } from '../strategies/field-errors.ts';
import { pathSegment } from '../strategies/name-rules.ts';
import { defineStrategy } from '../strategies/strategy.ts';

const MAX_GROUP_PRIORITY = 20_000;
const MAX_VERSION_PRIORITY = 1_000;

export const apiServiceStrategy = defineStrategy<APIService>({
  unconditionalUpdate: false,
  // The core group's is "v1.".
  nameRule: pathSegment,
  validate({ metadata, spec }) {
    const { group = '', version = '', service, caBundle, insecureSkipTLSVerify } = spec;
    const errors: FieldError[] = [];
    if (metadata.name !== `${version}.${group}`) {
      errors.push(invalidValue('metadata.name', metadata.name, 'must be spec.version+"."+spec.group'));
    }
    if (group !== '') errors.push(...eachInvalid('spec.group', group, dnsSubdomainProblems(group)));
    if (version === '') errors.push(required('spec.version'));
    else errors.push(...eachInvalid('spec.version', version, dns1035LabelProblems(version)));
    errors.push(...priority('groupPriorityMinimum', spec.groupPriorityMinimum, MAX_GROUP_PRIORITY));
    errors.push(...priority('versionPriority', spec.versionPriority, MAX_VERSION_PRIORITY));
    if (!service) {
      if (caBundle) errors.push(invalidValue('spec.caBundle', caBundle, 'local APIServices may not have a caBundle'));
      if (insecureSkipTLSVerify) {
        errors.push(
          invalidValue('spec.insecureSkipTLSVerify', true, 'local APIServices may not have insecureSkipTLSVerify'),
        );
      }
      return errors;
    }
    if (!service.namespace) errors.push(required('spec.service.namespace'));
    if (!service.name) errors.push(required('spec.service.name'));
    if (service.port !== undefined && (service.port < 1 || service.port > 65_535)) {
      errors.push(
        invalidValue('spec.service.port', service.port, 'port is not valid: must be between 1 and 65535, inclusive'),
      );
    }
    if (caBundle && insecureSkipTLSVerify) {
      errors.push(invalidValue('spec.insecureSkipTLSVerify', true, 'may not be true if caBundle is present'));
    }
    return errors;
  },
});

function priority(name: string, value: number | undefined, most: number): FieldError[] {
  if (value !== undefined && value > 0 && value <= most) return [];
  return [invalidValue(`spec.${name}`, value ?? 0, `must be positive and less than ${most}`)];
}
