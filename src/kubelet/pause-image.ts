import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tar } from './tar.ts';

/** The sandbox image's name: containerd is told it as `sandbox_image`, and never pulls it. */
export const PAUSE_IMAGE = 'tsukube.local/pause:1';

/**
 * What holds a pod's namespaces: a program of a few system calls, for each architecture.
 * rt_sigaction(SIGCHLD, SIG_IGN): the kernel then reaps what is re-parented to it (shared process namespaces);
 * rt_sigprocmask(SIG_BLOCK, {INT, TERM}); rt_sigtimedwait for those until one comes; exit_group(0).
 * A blocked signal reaches even the first process of a PID namespace, so no handler is needed.
 */
const PROGRAMS = {
  x64: {
    architecture: 'amd64',
    machine: 62,
    code:
      'b80d000000bf11000000488d354f00000031d241ba080000000f05b80e00000031ff488d352f00000031d20f05b880000000488d3d1f000000' +
      '31f631d241ba080000000f0585c078e4b8e700000031ff0f05660f1f44000002400000000000000100000000000000000000000000000000000000' +
      '000000000000000000000000',
  },
  arm64: {
    architecture: 'arm64',
    machine: 183,
    code: 'c81080d2200280d281020010020080d2030180d2010000d4e81080d2000080d281010010020080d2010000d4281180d200010010010080d2020080d2010000d460ffff37c80b80d2000080d2010000d402400000000000000100000000000000000000000000000000000000000000000000000000000000',
  },
} as const;

const LOAD_ADDRESS = 0x400000;
const ELF_HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;

/** A static ELF64 executable with one loaded segment that starts with the headers. */
function executable(machine: number, code: Buffer): Buffer {
  const start = ELF_HEADER_BYTES + PROGRAM_HEADER_BYTES;
  const elf = Buffer.alloc(start);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  elf.writeUInt16LE(2, 16);
  elf.writeUInt16LE(machine, 18);
  elf.writeUInt32LE(1, 20);
  elf.writeBigUInt64LE(BigInt(LOAD_ADDRESS + start), 24);
  elf.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 32);
  elf.writeUInt16LE(ELF_HEADER_BYTES, 52);
  elf.writeUInt16LE(PROGRAM_HEADER_BYTES, 54);
  elf.writeUInt16LE(1, 56);
  const size = BigInt(start + code.length);
  const p = ELF_HEADER_BYTES;
  elf.writeUInt32LE(1, p);
  elf.writeUInt32LE(5, p + 4);
  elf.writeBigUInt64LE(BigInt(LOAD_ADDRESS), p + 16);
  elf.writeBigUInt64LE(BigInt(LOAD_ADDRESS), p + 24);
  elf.writeBigUInt64LE(size, p + 32);
  elf.writeBigUInt64LE(size, p + 40);
  elf.writeBigUInt64LE(0x1000n, p + 48);
  return Buffer.concat([elf, code]);
}

/** The pause image as a docker archive (manifest.json, config, one layer), the same bytes every time. */
export function pauseImageArchive(arch: string = process.arch, name: string = PAUSE_IMAGE): Buffer {
  const program = PROGRAMS[arch as keyof typeof PROGRAMS];
  if (!program) throw new Error(`no pause program for the architecture ${arch}`);
  const binary = executable(program.machine, Buffer.from(program.code, 'hex'));
  const layer = tar([{ name: 'pause', content: binary, mode: 0o755 }]);
  // A name of its own: containerd refuses to ingest other bytes under the name that an import broken off has left behind.
  const digest = sha256(layer);
  const config = Buffer.from(
    JSON.stringify({
      architecture: program.architecture,
      os: 'linux',
      config: { Entrypoint: ['/pause'], User: '65535:65535' },
      rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
    }),
  );
  const configName = `${sha256(config)}.json`;
  const manifest = [{ Config: configName, RepoTags: [name], Layers: [`${digest}.tar`] }];
  return tar([
    { name: 'manifest.json', content: Buffer.from(JSON.stringify(manifest)) },
    { name: configName, content: config },
    { name: `${digest}.tar`, content: layer },
  ]);
}

/** Where images are imported: a containerd's socket, and its `ctr` if that is not on the path. */
export interface ImportTarget {
  readonly socket: string;
  readonly ctr?: string;
}

/** Imports an OCI or docker archive for the kubelet's use; returns the names of the images in it. */
export async function importImage(target: ImportTarget, file: string, signal?: AbortSignal): Promise<string[]> {
  const args = ['-a', target.socket, '-n', 'k8s.io', 'images', 'import', '--all-platforms', file];
  const { stdout } = await promisify(execFile)(target.ctr ?? 'ctr', args, { signal, maxBuffer: 1 << 20 });
  return [...stdout.matchAll(/^unpacking (\S+) /gm)].map((match) => match[1]!);
}

export async function importPauseImage(target: ImportTarget, signal?: AbortSignal): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'pause-image-'));
  try {
    const file = join(directory, 'pause.tar');
    await writeFile(file, pauseImageArchive());
    await importImage(target, file, signal);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}
