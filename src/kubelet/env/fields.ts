// Values of a pod's own fields and resources, for the environment and for downward API volumes.
import type { Container, Pod } from '../../api/generated/types.ts';
import { milliValue, quantityValue } from '../../machinery/quantity.ts';

/** A reference that cannot be resolved: the container cannot be made, or the volume not be filled. */
export class FieldError extends Error {
  override name = 'FieldError';
}

export interface FieldContext {
  readonly pod: Pod;
  readonly podIPs: readonly string[];
  readonly hostIPs: readonly string[];
  readonly nodeName: string;
}

/** The value of a fieldRef's path. Maps are given as one quoted `key="value"` a line, sorted. */
export function fieldValue(path: string, { pod, podIPs, hostIPs, nodeName }: FieldContext): string {
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(path);
  if (subscript) return pod.metadata[subscript[1] as 'labels']?.[subscript[2]!] ?? '';
  switch (path) {
    case 'metadata.name':
      return pod.metadata.name;
    case 'metadata.namespace':
      return pod.metadata.namespace ?? '';
    case 'metadata.uid':
      return pod.metadata.uid ?? '';
    case 'metadata.labels':
      return formatMap(pod.metadata.labels);
    case 'metadata.annotations':
      return formatMap(pod.metadata.annotations);
    case 'spec.nodeName':
      return pod.spec.nodeName ?? nodeName;
    case 'spec.serviceAccountName':
      return pod.spec.serviceAccountName ?? '';
    case 'status.hostIP':
      return hostIPs[0] ?? '';
    case 'status.hostIPs':
      return hostIPs.join(',');
    case 'status.podIP':
      return podIPs[0] ?? '';
    case 'status.podIPs':
      return podIPs.join(',');
    default:
      throw new FieldError(`unsupported fieldPath: ${path}`);
  }
}

function formatMap(map: { readonly [key: string]: string } | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, value]) => `${key}=${quoteGo(value)}`)
    .join('\n');
}

const ESCAPES: { readonly [char: string]: string | undefined } = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\v': '\\v',
};

/** A string as Go's %q prints it. */
export function quoteGo(text: string): string {
  let result = '"';
  for (const char of text) {
    const code = char.codePointAt(0)!;
    const written = ESCAPES[char];
    if (written) result += written;
    else if (code < 0x20 || code === 0x7f) result += `\\x${code.toString(16).padStart(2, '0')}`;
    else result += char;
  }
  return `${result}"`;
}

/** A resourceFieldRef's value: in units of the divisor, rounded up; a missing limit is what the node can allocate. */
export function resourceValue(
  resource: string,
  divisor: string | undefined,
  container: Container,
  allocatable: { readonly [resource: string]: string },
): string {
  const match = /^(limits|requests)\.(.+)$/.exec(resource);
  if (!match) throw new FieldError(`Unsupported container resource : ${resource}`);
  const [, list, name] = match as unknown as [string, 'limits' | 'requests', string];
  const own = container.resources?.[list]?.[name];
  const wantsDefault = list === 'limits' && (name === 'cpu' || name === 'memory' || name === 'ephemeral-storage');
  const text = own ?? (wantsDefault ? allocatable[name] : undefined) ?? '0';
  const unit = divisor && quantityValue(divisor) !== 0 ? divisor : '1';
  if (name === 'cpu') return String(Math.ceil(milliValue(text) / milliValue(unit)));
  return String(Math.ceil(quantityValue(text) / quantityValue(unit)));
}
