import type { KubeObject } from '../api/object.ts';

/** What an event is about: an object of the API (apiVersion and kind set), or a reference to one. */
export type EventSubject =
  | KubeObject
  | {
      readonly apiVersion?: string;
      readonly kind?: string;
      readonly namespace?: string;
      readonly name: string;
      readonly uid?: string;
      readonly resourceVersion?: string;
      readonly fieldPath?: string;
    };

/** Writes events in the background. Never throws and never waits; repeats are counted on one event. */
export interface EventRecorder {
  event(
    subject: EventSubject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    annotations?: { readonly [key: string]: string },
  ): void;
  /** The same recorder under another component's name (source.component). */
  as(component: string): EventRecorder;
}
