import type { TableColumn, TablePrinter } from './table.ts';

const COLUMNS: readonly TableColumn[] = [
  {
    name: 'Name',
    type: 'string',
    format: 'name',
    description: 'Name must be unique within a namespace.',
    priority: 0,
  },
  {
    name: 'Created At',
    type: 'date',
    format: '',
    description: 'CreationTimestamp is a timestamp representing the server time when this object was created.',
    priority: 0,
  },
];

/** What upstream prints of objects of which it knows nothing else. */
export const plainPrinter: TablePrinter = {
  columns: () => COLUMNS,
  cells: (_resource, { metadata }) => [metadata?.name ?? '', metadata?.creationTimestamp ?? '<unknown>'],
};
