import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  configMapKeyProblems,
  dns1035LabelProblems,
  dnsLabelProblems,
  dnsSubdomainProblems,
  environmentVariableProblems,
  labelValueProblems,
  pathSegmentProblems,
  portNameProblems,
  qualifiedNameProblems,
  relaxedEnvironmentVariableProblems,
  wildcardSubdomainProblems,
} from './names.ts';

test('valid names have no findings', () => {
  for (const name of ['a', 'my-name', '123-abc', 'a'.repeat(63)]) assert.deepEqual(dnsLabelProblems(name), []);
  for (const name of ['a.b', 'example.com', '1.2']) assert.deepEqual(dnsSubdomainProblems(name), []);
  for (const name of ['a', 'kubernetes.io/x', 'A_b.c-d']) assert.deepEqual(qualifiedNameProblems(name), []);
  for (const value of ['', 'a', 'MyValue', '1_2.3']) assert.deepEqual(labelValueProblems(value), []);
  assert.deepEqual(dns1035LabelProblems('abc-123'), []);
  assert.deepEqual(wildcardSubdomainProblems('*.example.com'), []);
  assert.deepEqual(configMapKeyProblems('__proto__'), []);
  assert.deepEqual(portNameProblems('http'), []);
  assert.deepEqual(environmentVariableProblems('MY_ENV.NAME'), []);
  assert.deepEqual(relaxedEnvironmentVariableProblems('a b'), []);
  assert.deepEqual(pathSegmentProblems('system:node'), []);
});

test('findings carry the wording of upstream', () => {
  assert.deepEqual(dnsLabelProblems('My_Name'), [
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
  ]);
  assert.deepEqual(dnsLabelProblems('a.b'), ['must not contain dots']);
  assert.equal(dnsLabelProblems('a'.repeat(64))[0], 'must be no more than 63 bytes');
  assert.deepEqual(qualifiedNameProblems('/a'), ['prefix part must be non-empty']);
  assert.equal(qualifiedNameProblems('a/')[0], 'name part must be non-empty');
  assert.match(
    qualifiedNameProblems('a/b/c')[0]!,
    /^a valid label key must consist of .* \(e\.g\. 'example.com\/MyName'\)$/,
  );
  assert.deepEqual(labelValueProblems('-x'), [
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
  ]);
  assert.deepEqual(configMapKeyProblems('..'), ["must not be '..'"]);
  assert.deepEqual(portNameProblems('-1--'), [
    'must contain at least one letter (a-z)',
    'must not contain consecutive hyphens',
    'must not begin or end with a hyphen',
  ]);
  assert.deepEqual(pathSegmentProblems('a/b%'), ["may not contain '/'", "may not contain '%'"]);
  assert.equal(relaxedEnvironmentVariableProblems('a=b').length, 1);
  assert.equal(environmentVariableProblems('1a').length, 1);
});
