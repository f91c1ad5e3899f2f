// Whether the node takes a pod that was given to it: the kubelet's own check, for pods that no scheduler looked at or
// that raced with others. Pure.
import type { Node, Pod } from '../../api/generated/types.ts';
import { shortage, shortageMessage } from '../../machinery/pod-resize.ts';
import type { PodFailure } from './status.ts';

export function admitPod(pod: Pod, others: readonly Pod[], node: Node): PodFailure | undefined {
  return resources(pod, others, node) ?? nodeName(pod, node) ?? affinity(pod, node) ?? ports(pod, others);
}

function rejected(reason: string, message: string): PodFailure {
  return { reason, message: `Pod was rejected: ${message}` };
}

function resources(pod: Pod, others: readonly Pod[], node: Node): PodFailure | undefined {
  const short = shortage(pod, others, node.status?.allocatable ?? {});
  return short && rejected(`OutOf${short.name}`, shortageMessage(short));
}

function nodeName(pod: Pod, node: Node): PodFailure | undefined {
  if (pod.spec.nodeName === undefined || pod.spec.nodeName === node.metadata.name) return undefined;
  return rejected('NodeName', "Predicate NodeName failed: node(s) didn't match the requested node name");
}

function affinity(pod: Pod, node: Node): PodFailure | undefined {
  const labels = node.metadata.labels ?? {};
  const selected = Object.entries(pod.spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  const terms = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const matched = terms === undefined || terms.some((term) => matchesTerm(term, labels, node.metadata.name));
  if (selected && matched) return undefined;
  const message = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
  return rejected('NodeAffinity', message);
}

interface Requirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}
interface Term {
  readonly matchExpressions?: readonly Requirement[];
  readonly matchFields?: readonly Requirement[];
}

/** A term without requirements selects nothing. */
function matchesTerm(term: Term, labels: { readonly [key: string]: string }, name: string): boolean {
  const expressions = term.matchExpressions ?? [];
  const fields = term.matchFields ?? [];
  if (expressions.length + fields.length === 0) return false;
  const field = (key: string): string | undefined => (key === 'metadata.name' ? name : undefined);
  return expressions.every((r) => matches(r, labels[r.key])) && fields.every((r) => matches(r, field(r.key)));
}

function matches({ operator, values = [] }: Requirement, actual: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return actual !== undefined && values.includes(actual);
    case 'NotIn':
      return actual === undefined || !values.includes(actual);
    case 'Exists':
      return actual !== undefined;
    case 'DoesNotExist':
      return actual === undefined;
    case 'Gt':
      return actual !== undefined && /^-?\d+$/.test(actual) && Number(actual) > Number(values[0]);
    case 'Lt':
      return actual !== undefined && /^-?\d+$/.test(actual) && Number(actual) < Number(values[0]);
    default:
      return false;
  }
}

function ports(pod: Pod, others: readonly Pod[]): PodFailure | undefined {
  const taken = others.flatMap(hostPorts);
  const clash = hostPorts(pod).some((a) =>
    taken.some(
      (b) => a.port === b.port && a.protocol === b.protocol && (a.ip === b.ip || a.ip === ANY || b.ip === ANY),
    ),
  );
  if (!clash) return undefined;
  const message = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
  return rejected('NodePorts', message);
}

const ANY = '0.0.0.0';

function hostPorts(pod: Pod): readonly { port: number; protocol: string; ip: string }[] {
  return pod.spec.containers
    .flatMap((c) => c.ports ?? [])
    .filter((p) => (p.hostPort ?? 0) > 0)
    .map((p) => ({ port: p.hostPort!, protocol: p.protocol ?? 'TCP', ip: p.hostIP || ANY }));
}
