// The variables that tell a container of the services in its namespace (docker links).
import type { Service } from '../../api/generated/types.ts';

export interface EnvVariable {
  readonly name: string;
  readonly value: string;
}

const variableName = (name: string): string => name.toUpperCase().replaceAll('-', '_');

/**
 * Variables for the services that a pod in `namespace` sees: those of its namespace if `links`, and always the API's own
 * (default/kubernetes). Services without an address have none.
 */
export function serviceVariables(services: readonly Service[], namespace: string, links: boolean): EnvVariable[] {
  const seen = new Map<string, Service>();
  for (const service of services) {
    const { namespace: ns, name } = service.metadata;
    const ip = service.spec.clusterIP;
    if (!ip || ip === 'None') continue;
    const master = ns === 'default' && name === 'kubernetes';
    if (ns === namespace && (links || master)) seen.set(name, service);
    else if (master && !seen.has(name)) seen.set(name, service);
  }
  return [...seen.values()].flatMap(variablesOf);
}

function variablesOf({ metadata, spec }: Service): EnvVariable[] {
  const prefix = variableName(metadata.name);
  const ip = spec.clusterIP!;
  const host = ip.includes(':') ? `[${ip}]` : ip;
  const ports = spec.ports ?? [];
  const first = ports[0];
  if (!first) return [{ name: `${prefix}_SERVICE_HOST`, value: ip }];
  const result: EnvVariable[] = [
    { name: `${prefix}_SERVICE_HOST`, value: ip },
    { name: `${prefix}_SERVICE_PORT`, value: String(first.port) },
  ];
  for (const port of ports) {
    if (!port.name) continue;
    result.push({ name: `${prefix}_SERVICE_PORT_${variableName(port.name)}`, value: String(port.port) });
  }
  for (const [i, port] of ports.entries()) {
    const protocol = (port.protocol ?? 'TCP').toLowerCase();
    const url = `${protocol}://${host}:${port.port}`;
    const base = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
    if (i === 0) result.push({ name: `${prefix}_PORT`, value: url });
    result.push(
      { name: base, value: url },
      { name: `${base}_PROTO`, value: protocol },
      { name: `${base}_PORT`, value: String(port.port) },
      { name: `${base}_ADDR`, value: ip },
    );
  }
  return result;
}
