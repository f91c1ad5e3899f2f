// Syntax of names, labels and keys. Every check returns its findings in upstream's words; an empty list means valid.

const DNS1123_LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const DNS1123_SUBDOMAIN = `${DNS1123_LABEL}(\\.${DNS1123_LABEL})*`;
const DNS1035_LABEL = '[a-z]([-a-z0-9]*[a-z0-9])?';
const WILDCARD_SUBDOMAIN = `\\*\\.${DNS1123_SUBDOMAIN}`;
const LABEL_KEY = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL_VALUE = `(${LABEL_KEY})?`;
const CONFIG_MAP_KEY = '[-._a-zA-Z0-9]+';
const HTTP_HEADER = '[-A-Za-z0-9]+';
const C_IDENTIFIER = '[A-Za-z_][A-Za-z0-9_]*';
const PERCENT = '[0-9]+%';
const ENVIRONMENT_VARIABLE = '[-._a-zA-Z][-._a-zA-Z0-9]*';

const whole = (pattern: string): RegExp => new RegExp(`^${pattern}$`);
const dns1123Label = whole(DNS1123_LABEL);
const dns1123Subdomain = whole(DNS1123_SUBDOMAIN);
const dns1035Label = whole(DNS1035_LABEL);
const wildcardSubdomain = whole(WILDCARD_SUBDOMAIN);
const labelKey = whole(LABEL_KEY);
const labelValue = whole(LABEL_VALUE);
const configMapKey = whole(CONFIG_MAP_KEY);
const httpHeader = whole(HTTP_HEADER);
const cIdentifier = whole(C_IDENTIFIER);
const percent = whole(PERCENT);
const environmentVariable = whole(ENVIRONMENT_VARIABLE);

export const LABEL_MAX = 63;
export const SUBDOMAIN_MAX = 253;

const LABEL_KEY_RULE =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/** Upstream's text for a value that does not match a regular expression. */
export function regexMessage(message: string, pattern: string, ...examples: string[]): string {
  if (examples.length === 0) return `${message} (regex used for validation is '${pattern}')`;
  const listed = examples.map((e) => `'${e}', `).join(' or ');
  return `${message} (e.g. ${listed}regex used for validation is '${pattern}')`;
}

export function maxLengthMessage(length: number): string {
  return `must be no more than ${length} bytes`;
}

/** "must be between 1 and 65535, inclusive" */
export function rangeMessage(low: number, high: number): string {
  return `must be between ${low} and ${high}, inclusive`;
}

/** No character has more than three bytes for each unit of its length: short texts need not be counted. */
const tooLong = (value: string, limit: number): string[] =>
  value.length * 3 > limit && Buffer.byteLength(value) > limit ? [maxLengthMessage(limit)] : [];

/** A label in DNS (RFC 1123): names of namespaces, containers, services' pods. */
export function dnsLabelProblems(value: string): string[] {
  const problems = tooLong(value, LABEL_MAX);
  if (dns1123Label.test(value)) return problems;
  if (dns1123Subdomain.test(value)) return [...problems, 'must not contain dots'];
  const rule =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
  return [...problems, regexMessage(rule, DNS1123_LABEL, 'my-name', '123-abc')];
}

/** A subdomain in DNS (RFC 1123): most objects' names. */
export function dnsSubdomainProblems(value: string): string[] {
  const problems = tooLong(value, SUBDOMAIN_MAX);
  if (dns1123Subdomain.test(value)) return problems;
  const rule =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
  return [...problems, regexMessage(rule, DNS1123_SUBDOMAIN, 'example.com')];
}

/** A label in DNS (RFC 1035), which begins with a letter: names of services. */
export function dns1035LabelProblems(value: string): string[] {
  const problems = tooLong(value, LABEL_MAX);
  if (dns1035Label.test(value)) return problems;
  const rule =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
  return [...problems, regexMessage(rule, DNS1035_LABEL, 'my-name', 'abc-123')];
}

/** "*.example.com" */
export function wildcardSubdomainProblems(value: string): string[] {
  const problems = tooLong(value, SUBDOMAIN_MAX);
  if (wildcardSubdomain.test(value)) return problems;
  const rule =
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
  return [...problems, regexMessage(rule, WILDCARD_SUBDOMAIN, '*.example.com')];
}

const LABEL_KEY_MESSAGE = regexMessage(LABEL_KEY_RULE, LABEL_KEY, 'MyName', 'my.name', '123-abc');

/** An optional DNS subdomain and '/', then a name: keys of labels and annotations, resource names, finalizers. */
export function qualifiedNameProblems(value: string): string[] {
  // Most keys are a name alone, and right.
  if (value.length <= LABEL_MAX && labelKey.test(value)) return [];
  const parts = value.split('/');
  const rule = LABEL_KEY_MESSAGE;
  if (parts.length > 2) {
    return [`a valid label key ${rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`];
  }
  const problems: string[] = [];
  const name = parts.at(-1)!;
  if (parts.length === 2) {
    if (parts[0] === '') problems.push('prefix part must be non-empty');
    else problems.push(...dnsSubdomainProblems(parts[0]!).map((p) => `prefix part ${p}`));
  }
  if (name === '') problems.push('name part must be non-empty');
  else problems.push(...tooLong(name, LABEL_MAX).map((p) => `name part ${p}`));
  if (!labelKey.test(name)) problems.push(`name part ${rule}`);
  return problems;
}

export function labelValueProblems(value: string): string[] {
  const problems = tooLong(value, LABEL_MAX);
  if (labelValue.test(value)) return problems;
  const rule = `a valid label must be an empty string or consist of ${LABEL_KEY_RULE.slice('must consist of '.length)}`;
  return [...problems, regexMessage(rule, LABEL_VALUE, 'MyValue', 'my_value', '12345')];
}

/** A key of a ConfigMap or Secret. */
export function configMapKeyProblems(value: string): string[] {
  const problems = tooLong(value, SUBDOMAIN_MAX);
  if (!configMapKey.test(value)) {
    const rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
    problems.push(regexMessage(rule, CONFIG_MAP_KEY, 'key.name', 'KEY_NAME', 'key-name'));
  }
  return [...problems, ...dotProblems(value)];
}

/** An environment variable's name from a source (envFrom), where only these characters become variables. */
export function environmentVariableProblems(value: string): string[] {
  const problems: string[] = [];
  if (!environmentVariable.test(value)) {
    const rule =
      "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit";
    problems.push(regexMessage(rule, ENVIRONMENT_VARIABLE, 'my.env-name', 'MY_ENV.NAME', 'MyEnvName1'));
  }
  return [...problems, ...dotProblems(value)];
}

/** An environment variable's name in a container: any printable ASCII but '='. */
export function relaxedEnvironmentVariableProblems(value: string): string[] {
  if (value === '') return ['environment variable name must be non-empty'];
  if (/^[\x20-\x3c\x3e-\x7e]*$/.test(value)) return [];
  return ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

function dotProblems(value: string): string[] {
  if (value === '.') return ["must not be '.'"];
  if (value === '..') return ["must not be '..'"];
  return value.startsWith('..') ? ["must not start with '..'"] : [];
}

export function portNumberProblems(port: number): string[] {
  return port >= 1 && port <= 65535 ? [] : [rangeMessage(1, 65535)];
}

/** An IANA service name (RFC 6335), lower case. */
export function portNameProblems(port: string): string[] {
  const problems = tooLong(port, 15);
  if (!/^[-a-z0-9]+$/.test(port)) {
    problems.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  }
  if (!/[a-z]/.test(port)) problems.push('must contain at least one letter (a-z)');
  if (port.includes('--')) problems.push('must not contain consecutive hyphens');
  if (port.startsWith('-') || port.endsWith('-')) problems.push('must not begin or end with a hyphen');
  return problems;
}

export function percentProblems(value: string): string[] {
  if (percent.test(value)) return [];
  const rule = "a valid percent string must be a numeric string followed by an ending '%'";
  return [regexMessage(rule, PERCENT, '1%', '93%')];
}

export function httpHeaderNameProblems(value: string): string[] {
  if (httpHeader.test(value)) return [];
  const rule = "a valid HTTP header must consist of alphanumeric characters or '-'";
  return [regexMessage(rule, HTTP_HEADER, 'X-Header-Name')];
}

export function cIdentifierProblems(value: string): string[] {
  if (cIdentifier.test(value)) return [];
  const rule =
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'";
  return [regexMessage(rule, C_IDENTIFIER, 'my_name', 'MY_NAME', 'MyName')];
}

/** A segment of a URL path: names of RBAC objects, and what every name must satisfy. */
export function pathSegmentProblems(name: string): string[] {
  if (name === '.' || name === '..') return [`may not be '${name}'`];
  return ['/', '%'].filter((c) => name.includes(c)).map((c) => `may not contain '${c}'`);
}
