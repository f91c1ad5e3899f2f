// What the machine is and has, read from the kernel.
import { readFileSync } from 'node:fs';
import { readFile, statfs } from 'node:fs/promises';
import { arch, availableParallelism, hostname, release } from 'node:os';

export interface MachineInfo {
  readonly hostname: string;
  readonly milliCpu: number;
  readonly memoryBytes: number;
  readonly machineID: string;
  readonly systemUUID: string;
  readonly bootID: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  /** As Go names it: amd64, arm64. */
  readonly architecture: string;
}

const ARCHITECTURES: { readonly [node: string]: string | undefined } = { x64: 'amd64', ia32: '386' };

export function goArchitecture(name: string = arch()): string {
  return ARCHITECTURES[name] ?? name;
}

export function readMachine(): MachineInfo {
  const text = (path: string): string => {
    try {
      return readFileSync(path, 'utf8').trim();
    } catch {
      return '';
    }
  };
  const osImage = /^PRETTY_NAME="?(.*?)"?$/m.exec(text('/etc/os-release'))?.[1] ?? 'Linux';
  const machineID = text('/etc/machine-id');
  return {
    hostname: hostname().toLowerCase(),
    milliCpu: availableParallelism() * 1000,
    memoryBytes: memoryInfo(text('/proc/meminfo')).totalBytes,
    machineID,
    systemUUID: text('/sys/class/dmi/id/product_uuid') || machineID,
    bootID: text('/proc/sys/kernel/random/boot_id'),
    kernelVersion: release(),
    osImage,
    architecture: goArchitecture(),
  };
}

export interface MemoryInfo {
  readonly totalBytes: number;
  readonly availableBytes: number;
}

export function memoryInfo(meminfo: string): MemoryInfo {
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(meminfo)?.[1] ?? 0);
  return { totalBytes: kib('MemTotal') * 1024, availableBytes: kib('MemAvailable') * 1024 };
}

/** What the node's pressure conditions are made from. */
export interface Pressure {
  readonly memoryAvailableBytes: number;
  readonly diskCapacityBytes: number;
  readonly diskAvailableBytes: number;
  readonly inodes: number;
  readonly inodesFree: number;
  readonly processes: number;
  readonly maxProcesses: number;
}

export async function readPressure(directory: string): Promise<Pressure> {
  const [meminfo, load, pidMax, disk] = await Promise.all([
    readFile('/proc/meminfo', 'utf8'),
    readFile('/proc/loadavg', 'utf8'),
    readFile('/proc/sys/kernel/pid_max', 'utf8'),
    statfs(directory),
  ]);
  return {
    memoryAvailableBytes: memoryInfo(meminfo).availableBytes,
    diskCapacityBytes: disk.blocks * disk.bsize,
    diskAvailableBytes: disk.bavail * disk.bsize,
    inodes: disk.files,
    inodesFree: disk.ffree,
    processes: Number(/\d+\/(\d+)/.exec(load)?.[1] ?? 0),
    maxProcesses: Number(pidMax),
  };
}
