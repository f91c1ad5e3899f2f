// The audit of a cluster of several hosts: each server has the policy among its own files, and writes a log of its own.
import { copyFile, mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type AuditLogSettings, readPolicyFile } from '../audit-log.ts';
import type { Layout } from '../layout.ts';
import { type Settings, writeFileAtomically } from '../settings.ts';

const POLICY = 'audit-policy.yaml';

/** Keeps the policy with the cluster, for servers that join later too. Throws an Error when it cannot be used. */
export async function keepPolicy(layout: Layout, { audit }: Settings): Promise<void> {
  if (!audit) return;
  const { text } = await readPolicyFile(audit.policyFile);
  await writeFileAtomically(join(layout.root, POLICY), text, 0o644);
}

/** What a host's server is told; its log has the name that was asked for, in the host's own directory. */
export function hostAudit(audit: AuditLogSettings, directory: string): AuditLogSettings {
  const { logPath } = audit;
  return {
    ...audit,
    policyFile: join(directory, 'etc', POLICY),
    logPath: logPath === '-' ? logPath : join(directory, 'audit', basename(logPath)),
  };
}

/** Before the host is switched on. */
export async function writeHostAudit(layout: Layout, directory: string): Promise<void> {
  await mkdir(join(directory, 'audit'), { recursive: true, mode: 0o700 });
  await copyFile(join(layout.root, POLICY), join(directory, 'etc', POLICY));
}
