// A column of a kind's table: how `kubectl get` shows an object. Cells are pure functions of the object and the time.
import type { KubeObject } from '../../api/object.ts';

export interface Column<T = KubeObject> {
  readonly name: string;
  readonly type?: 'string' | 'integer' | 'boolean' | 'date';
  readonly format?: string;
  readonly description?: string;
  /** Shown with -o wide only. */
  readonly wide?: boolean;
  /** Above 0: shown with -o wide only; default by `wide`. */
  readonly priority?: number;
  cell(object: T, nowMs: number): unknown;
}

/** Columns written for their own kind, usable where kinds do not matter. */
export function columns<T extends KubeObject>(list: readonly Column<T>[]): readonly Column[] {
  return list as unknown as readonly Column[];
}

export const nameColumn: Column = {
  name: 'Name',
  format: 'name',
  description: 'Name must be unique within a namespace.',
  cell: (object) => object.metadata.name,
};

export const ageColumn: Column = {
  name: 'Age',
  description: 'The time since the object was created.',
  cell: (object, nowMs) => ago(object.metadata.creationTimestamp, nowMs),
};

export const createdColumn: Column = {
  name: 'Created At',
  type: 'date',
  description: 'The time at which the object was created.',
  cell: (object) => object.metadata.creationTimestamp ?? null,
};

/** How long ago a time was; "<unknown>" for none. */
export function ago(time: string | undefined | null, nowMs: number): string {
  if (!time) return '<unknown>';
  return humanDuration(nowMs - Date.parse(time));
}

const unit = (count: number, name: string): string => `${count}${name}`;
const both = (big: string, count: number, name: string): string => (count === 0 ? big : big + unit(count, name));

/** Two significant units at most, as upstream's duration.HumanDuration. */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return unit(seconds, 's');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return both(unit(minutes, 'm'), seconds % 60, 's');
  if (minutes < 180) return unit(minutes, 'm');
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return both(unit(hours, 'h'), minutes % 60, 'm');
  if (hours < 48) return unit(hours, 'h');
  const days = Math.floor(hours / 24);
  if (hours < 192) return both(unit(days, 'd'), hours % 24, 'h');
  if (days < 730) return unit(days, 'd');
  const years = Math.floor(days / 365);
  if (days < 2920) return both(unit(years, 'y'), days % 365, 'd');
  return unit(years, 'y');
}

type Labels = { readonly [key: string]: string } | undefined | null;

/** "a=b,c=d", or "<none>". */
export function formatLabels(labels: Labels): string {
  const text = Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(',');
  return text === '' ? '<none>' : text;
}

interface Container {
  readonly name: string;
  readonly image?: string;
}

type Template = { readonly spec?: { readonly containers: readonly Container[] } } | undefined;

/** The wide columns that show a template's containers. */
export function containerColumns<T extends KubeObject>(template: (object: T) => Template): readonly Column<T>[] {
  const list = (object: T): readonly Container[] => template(object)?.spec?.containers ?? [];
  return [
    {
      name: 'Containers',
      wide: true,
      description: 'Names of each container in the template.',
      cell: (object) =>
        list(object)
          .map((c) => c.name)
          .join(','),
    },
    {
      name: 'Images',
      wide: true,
      description: 'Images referenced by each container in the template.',
      cell: (object) =>
        list(object)
          .map((c) => c.image ?? '')
          .join(','),
    },
  ];
}
