// In which order a process that is killed loses its sockets decides where its clients go. The kernel (Linux since 4.4) closes what
// was open at the end from the highest descriptor down. A listener at a low one takes connections until all others are closed: a
// client whose connection ends connects anew at once, a balancer hands it to the listener that still answers, and its second
// question fails as well. At a high one the listener is gone first: the balancer is refused, and goes to the next server.
import { closeSync, openSync } from 'node:fs';

/** So many connections, files and the like may be opened later below what was opened here. */
const RESERVED = 256;

/** Opens something at a descriptor above those that will be free afterwards. */
export async function closesFirst<T>(open: () => Promise<T>): Promise<T> {
  const reserved: number[] = [];
  try {
    for (let i = 0; i < RESERVED; i++) reserved.push(openSync('/dev/null', 'r'));
  } catch {
    // A small limit of descriptors: those that there are will do.
    for (const fd of reserved.splice(0, Math.ceil(reserved.length / 2))) closeSync(fd);
  }
  try {
    return await open();
  } finally {
    for (const fd of reserved) closeSync(fd);
  }
}
