// The table of types as an older release had it, for comparing bytes with what that release's own programs make.
import { type Field, Tables, type TypeRow } from './tables.ts';

interface Difference {
  /** Fields that came later and are written whether set or not. */
  readonly without?: readonly string[];
  /** Fields that have gone since. */
  readonly further?: readonly Field[];
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const EXTENSIONS = 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1';
const CORE = 'io.k8s.api.core.v1';

const RELEASE_1_20: { readonly [type: string]: Difference } = {
  [`${META}.ObjectMeta`]: { further: [gone('clusterName', 15, 'string')] },
  [`${META}.ManagedFieldsEntry`]: { without: ['subresource'] },
  [`${CORE}.PodStatus`]: { without: ['resize', 'observedGeneration'] },
  [`${CORE}.PodCondition`]: { without: ['observedGeneration'] },
  [`${CORE}.ServiceSpec`]: { further: [gone('topologyKeys', 16, '[]string')] },
  [`${CORE}.EphemeralVolumeSource`]: { further: [gone('readOnly', 2, 'bool')] },
  [`${EXTENSIONS}.CustomResourceDefinitionStatus`]: { without: ['observedGeneration'] },
  [`${EXTENSIONS}.CustomResourceDefinitionCondition`]: { without: ['observedGeneration'] },
  'io.k8s.api.batch.v1.JobStatus': { without: ['completedIndexes'] },
  'io.k8s.api.apps.v1.StatefulSetSpec': { without: ['minReadySeconds'] },
  'io.k8s.api.apps.v1.StatefulSetStatus': { without: ['availableReplicas'] },
};

function gone(name: string, number: number, code: string): Field {
  const flags = { required: false, omitEmpty: true, omitZero: false, pointer: false, inline: false };
  return { name, number, code, ...flags };
}

/** Kubernetes 1.20's types, as far as protobuf shows a difference; only `declared` differs. */
export class Release120Tables extends Tables {
  readonly #rows = new Map<string, TypeRow>();

  override type(name: string): TypeRow {
    let row = this.#rows.get(name);
    if (!row) {
      row = super.type(name);
      const { without = [], further = [] } = RELEASE_1_20[name] ?? {};
      if (without.length + further.length > 0) {
        const declared = [...row.declared.filter((field) => !without.includes(field.name)), ...further];
        row = { ...row, declared };
      }
      this.#rows.set(name, row);
    }
    return row;
  }
}
