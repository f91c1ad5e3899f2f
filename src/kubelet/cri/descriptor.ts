// The part of the CRI (runtime.v1) that the kubelet uses, as a protobufjs JSON descriptor: names and numbers only.
// Field numbers are the API's; names are written as JavaScript reads them. Newer fields than a runtime knows are
// ignored by it (proto3).

/** A message's fields: "name:type=number", `[]` for repeated, `map<T>` for maps keyed by strings. */
const MESSAGES: { readonly [name: string]: string } = {
  VersionRequest: 'version:string=1',
  VersionResponse: 'version:string=1 runtimeName:string=2 runtimeVersion:string=3 runtimeApiVersion:string=4',
  RunPodSandboxRequest: 'config:PodSandboxConfig=1 runtimeHandler:string=2',
  PodSandboxConfig:
    'metadata:PodSandboxMetadata=1 hostname:string=2 logDirectory:string=3 dnsConfig:DNSConfig=4 portMappings:PortMapping[]=5 labels:map<string>=6 annotations:map<string>=7 linux:LinuxPodSandboxConfig=8',
  PodSandboxMetadata: 'name:string=1 uid:string=2 namespace:string=3 attempt:uint32=4',
  DNSConfig: 'servers:string[]=1 searches:string[]=2 options:string[]=3',
  PortMapping: 'protocol:Protocol=1 containerPort:int32=2 hostPort:int32=3 hostIp:string=4',
  LinuxPodSandboxConfig:
    'cgroupParent:string=1 securityContext:LinuxSandboxSecurityContext=2 sysctls:map<string>=3 overhead:LinuxContainerResources=4 resources:LinuxContainerResources=5',
  LinuxSandboxSecurityContext:
    'namespaceOptions:NamespaceOption=1 runAsUser:Int64Value=3 runAsGroup:Int64Value=8 readonlyRootfs:bool=4 supplementalGroups:int64[]=5 privileged:bool=6 seccomp:SecurityProfile=9 supplementalGroupsPolicy:SupplementalGroupsPolicy=11',
  NamespaceOption: 'network:NamespaceMode=1 pid:NamespaceMode=2 ipc:NamespaceMode=3 targetId:string=4',
  Int64Value: 'value:int64=1',
  SecurityProfile: 'profileType:ProfileType=1 localhostRef:string=2',
  LinuxContainerResources:
    'cpuPeriod:int64=1 cpuQuota:int64=2 cpuShares:int64=3 memoryLimitInBytes:int64=4 oomScoreAdj:int64=5 cpusetCpus:string=6 cpusetMems:string=7 unified:map<string>=9 memorySwapLimitInBytes:int64=10',
  RunPodSandboxResponse: 'podSandboxId:string=1',
  StopPodSandboxRequest: 'podSandboxId:string=1',
  StopPodSandboxResponse: '',
  RemovePodSandboxRequest: 'podSandboxId:string=1',
  RemovePodSandboxResponse: '',
  PodSandboxStatusRequest: 'podSandboxId:string=1 verbose:bool=2',
  PodSandboxStatusResponse: 'status:PodSandboxStatus=1 info:map<string>=2',
  PodSandboxStatus:
    'id:string=1 metadata:PodSandboxMetadata=2 state:PodSandboxState=3 createdAt:int64=4 network:PodSandboxNetworkStatus=5 linux:LinuxPodSandboxStatus=6 labels:map<string>=7 annotations:map<string>=8 runtimeHandler:string=9',
  PodSandboxNetworkStatus: 'ip:string=1 additionalIps:PodIP[]=2',
  PodIP: 'ip:string=1',
  LinuxPodSandboxStatus: 'namespaces:Namespace=1',
  Namespace: 'options:NamespaceOption=2',
  ListPodSandboxRequest: 'filter:PodSandboxFilter=1',
  PodSandboxFilter: 'id:string=1 labelSelector:map<string>=3',
  ListPodSandboxResponse: 'items:PodSandbox[]=1',
  PodSandbox:
    'id:string=1 metadata:PodSandboxMetadata=2 state:PodSandboxState=3 createdAt:int64=4 labels:map<string>=5 annotations:map<string>=6 runtimeHandler:string=7',
  CreateContainerRequest: 'podSandboxId:string=1 config:ContainerConfig=2 sandboxConfig:PodSandboxConfig=3',
  ContainerConfig:
    'metadata:ContainerMetadata=1 image:ImageSpec=2 command:string[]=3 args:string[]=4 workingDir:string=5 envs:KeyValue[]=6 mounts:Mount[]=7 devices:Device[]=8 labels:map<string>=9 annotations:map<string>=10 logPath:string=11 stdin:bool=12 stdinOnce:bool=13 tty:bool=14 linux:LinuxContainerConfig=15',
  ContainerMetadata: 'name:string=1 attempt:uint32=2',
  ImageSpec: 'image:string=1 annotations:map<string>=2',
  KeyValue: 'key:string=1 value:bytes=2',
  Mount:
    'containerPath:string=1 hostPath:string=2 readonly:bool=3 selinuxRelabel:bool=4 propagation:MountPropagation=5 recursiveReadOnly:bool=8',
  Device: 'containerPath:string=1 hostPath:string=2 permissions:string=3',
  LinuxContainerConfig: 'resources:LinuxContainerResources=1 securityContext:LinuxContainerSecurityContext=2',
  LinuxContainerSecurityContext:
    'capabilities:Capability=1 privileged:bool=2 namespaceOptions:NamespaceOption=3 runAsUser:Int64Value=5 runAsGroup:Int64Value=12 runAsUsername:string=6 readonlyRootfs:bool=7 supplementalGroups:int64[]=8 noNewPrivs:bool=11 maskedPaths:string[]=13 readonlyPaths:string[]=14 seccomp:SecurityProfile=15 supplementalGroupsPolicy:SupplementalGroupsPolicy=17',
  Capability: 'addCapabilities:string[]=1 dropCapabilities:string[]=2',
  CreateContainerResponse: 'containerId:string=1',
  StartContainerRequest: 'containerId:string=1',
  StartContainerResponse: '',
  StopContainerRequest: 'containerId:string=1 timeout:int64=2',
  StopContainerResponse: '',
  RemoveContainerRequest: 'containerId:string=1',
  RemoveContainerResponse: '',
  ListContainersRequest: 'filter:ContainerFilter=1',
  ContainerFilter: 'id:string=1 podSandboxId:string=3 labelSelector:map<string>=4',
  ListContainersResponse: 'containers:Container[]=1',
  Container:
    'id:string=1 podSandboxId:string=2 metadata:ContainerMetadata=3 image:ImageSpec=4 imageRef:string=5 state:ContainerState=6 createdAt:int64=7 labels:map<string>=8 annotations:map<string>=9',
  ContainerStatusRequest: 'containerId:string=1 verbose:bool=2',
  ContainerStatusResponse: 'status:ContainerStatus=1 info:map<string>=2',
  ContainerStatus:
    'id:string=1 metadata:ContainerMetadata=2 state:ContainerState=3 createdAt:int64=4 startedAt:int64=5 finishedAt:int64=6 exitCode:int32=7 image:ImageSpec=8 imageRef:string=9 reason:string=10 message:string=11 labels:map<string>=12 annotations:map<string>=13 mounts:Mount[]=14 logPath:string=15 resources:ContainerResources=16',
  ContainerResources: 'linux:LinuxContainerResources=1',
  UpdateContainerResourcesRequest: 'containerId:string=1 linux:LinuxContainerResources=2 annotations:map<string>=4',
  UpdateContainerResourcesResponse: '',
  ReopenContainerLogRequest: 'containerId:string=1',
  ReopenContainerLogResponse: '',
  ExecSyncRequest: 'containerId:string=1 cmd:string[]=2 timeout:int64=3',
  ExecSyncResponse: 'stdout:bytes=1 stderr:bytes=2 exitCode:int32=3',
  ExecRequest: 'containerId:string=1 cmd:string[]=2 tty:bool=3 stdin:bool=4 stdout:bool=5 stderr:bool=6',
  ExecResponse: 'url:string=1',
  AttachRequest: 'containerId:string=1 stdin:bool=2 tty:bool=3 stdout:bool=4 stderr:bool=5',
  AttachResponse: 'url:string=1',
  PortForwardRequest: 'podSandboxId:string=1 port:int32[]=2',
  PortForwardResponse: 'url:string=1',
  ContainerStatsRequest: 'containerId:string=1',
  ContainerStatsResponse: 'stats:ContainerStats=1',
  ContainerStats:
    'attributes:ContainerAttributes=1 cpu:CpuUsage=2 memory:MemoryUsage=3 writableLayer:FilesystemUsage=4',
  ContainerAttributes: 'id:string=1 metadata:ContainerMetadata=2 labels:map<string>=3 annotations:map<string>=4',
  CpuUsage: 'timestamp:int64=1 usageCoreNanoSeconds:UInt64Value=2 usageNanoCores:UInt64Value=3',
  UInt64Value: 'value:uint64=1',
  MemoryUsage:
    'timestamp:int64=1 workingSetBytes:UInt64Value=2 availableBytes:UInt64Value=3 usageBytes:UInt64Value=4 rssBytes:UInt64Value=5 pageFaults:UInt64Value=6 majorPageFaults:UInt64Value=7',
  FilesystemUsage: 'timestamp:int64=1 fsId:FilesystemIdentifier=2 usedBytes:UInt64Value=3 inodesUsed:UInt64Value=4',
  FilesystemIdentifier: 'mountpoint:string=1',
  ListContainerStatsRequest: 'filter:ContainerStatsFilter=1',
  ContainerStatsFilter: 'id:string=1 podSandboxId:string=2 labelSelector:map<string>=3',
  ListContainerStatsResponse: 'stats:ContainerStats[]=1',
  ListPodSandboxStatsRequest: 'filter:PodSandboxStatsFilter=1',
  PodSandboxStatsFilter: 'id:string=1 labelSelector:map<string>=2',
  ListPodSandboxStatsResponse: 'stats:PodSandboxStats[]=1',
  PodSandboxStats: 'attributes:PodSandboxAttributes=1 linux:LinuxPodSandboxStats=2',
  PodSandboxAttributes: 'id:string=1 metadata:PodSandboxMetadata=2 labels:map<string>=3 annotations:map<string>=4',
  LinuxPodSandboxStats:
    'cpu:CpuUsage=1 memory:MemoryUsage=2 network:NetworkUsage=3 process:ProcessUsage=4 containers:ContainerStats[]=5',
  NetworkUsage: 'timestamp:int64=1 defaultInterface:NetworkInterfaceUsage=2 interfaces:NetworkInterfaceUsage[]=3',
  NetworkInterfaceUsage:
    'name:string=1 rxBytes:UInt64Value=2 rxErrors:UInt64Value=3 txBytes:UInt64Value=4 txErrors:UInt64Value=5',
  ProcessUsage: 'timestamp:int64=1 processCount:UInt64Value=2',
  StatusRequest: 'verbose:bool=1',
  StatusResponse:
    'status:RuntimeStatus=1 info:map<string>=2 runtimeHandlers:RuntimeHandler[]=3 features:RuntimeFeatures=4',
  RuntimeStatus: 'conditions:RuntimeCondition[]=1',
  RuntimeCondition: 'type:string=1 status:bool=2 reason:string=3 message:string=4',
  RuntimeHandler: 'name:string=1 features:RuntimeHandlerFeatures=2',
  RuntimeHandlerFeatures: 'recursiveReadOnlyMounts:bool=1 userNamespaces:bool=2',
  RuntimeFeatures: 'supplementalGroupsPolicy:bool=1',
  ListImagesRequest: 'filter:ImageFilter=1',
  ImageFilter: 'image:ImageSpec=1',
  ListImagesResponse: 'images:Image[]=1',
  Image:
    'id:string=1 repoTags:string[]=2 repoDigests:string[]=3 size:uint64=4 uid:Int64Value=5 username:string=6 spec:ImageSpec=7 pinned:bool=8',
  ImageStatusRequest: 'image:ImageSpec=1 verbose:bool=2',
  ImageStatusResponse: 'image:Image=1 info:map<string>=2',
  PullImageRequest: 'image:ImageSpec=1 auth:AuthConfig=2 sandboxConfig:PodSandboxConfig=3',
  AuthConfig:
    'username:string=1 password:string=2 auth:string=3 serverAddress:string=4 identityToken:string=5 registryToken:string=6',
  PullImageResponse: 'imageRef:string=1',
  RemoveImageRequest: 'image:ImageSpec=1',
  RemoveImageResponse: '',
  ImageFsInfoRequest: '',
  ImageFsInfoResponse: 'imageFilesystems:FilesystemUsage[]=1',
};

const ENUMS: { readonly [name: string]: readonly string[] } = {
  Protocol: ['TCP', 'UDP', 'SCTP'],
  NamespaceMode: ['POD', 'CONTAINER', 'NODE', 'TARGET'],
  ProfileType: ['RuntimeDefault', 'Unconfined', 'Localhost'],
  SupplementalGroupsPolicy: ['Merge', 'Strict'],
  PodSandboxState: ['SANDBOX_READY', 'SANDBOX_NOTREADY'],
  ContainerState: ['CONTAINER_CREATED', 'CONTAINER_RUNNING', 'CONTAINER_EXITED', 'CONTAINER_UNKNOWN'],
  MountPropagation: ['PROPAGATION_PRIVATE', 'PROPAGATION_HOST_TO_CONTAINER', 'PROPAGATION_BIDIRECTIONAL'],
};

const RUNTIME_METHODS = [
  'Version',
  'Status',
  'RunPodSandbox',
  'StopPodSandbox',
  'RemovePodSandbox',
  'PodSandboxStatus',
  'ListPodSandbox',
  'CreateContainer',
  'StartContainer',
  'StopContainer',
  'RemoveContainer',
  'ListContainers',
  'ContainerStatus',
  'UpdateContainerResources',
  'ReopenContainerLog',
  'ExecSync',
  'Exec',
  'Attach',
  'PortForward',
  'ContainerStats',
  'ListContainerStats',
  'ListPodSandboxStats',
];

const IMAGE_METHODS = ['ListImages', 'ImageStatus', 'PullImage', 'RemoveImage', 'ImageFsInfo'];

interface FieldDescriptor {
  readonly type: string;
  readonly id: number;
  readonly rule?: 'repeated';
  readonly keyType?: 'string';
}

/** The descriptor that `@grpc/proto-loader`'s fromJSON takes. */
export function criDescriptor(): { nested: Record<string, object> } {
  const types: Record<string, object> = {};
  for (const [name, fields] of Object.entries(MESSAGES)) types[name] = message(fields);
  for (const [name, values] of Object.entries(ENUMS)) {
    types[name] = { values: Object.fromEntries(values.map((value, number) => [value, number])) };
  }
  types.RuntimeService = service(RUNTIME_METHODS);
  types.ImageService = service(IMAGE_METHODS);
  return { nested: { runtime: { nested: { v1: { nested: types } } } } };
}

/** The part of containerd's event service that tells that something happened to a task. */
export function eventsDescriptor(): { nested: Record<string, object> } {
  const types = {
    SubscribeRequest: message('filters:string[]=1'),
    Envelope: message('namespace:string=2 topic:string=3'),
    Events: {
      methods: { Subscribe: { requestType: 'SubscribeRequest', responseType: 'Envelope', responseStream: true } },
    },
  };
  const v1 = { nested: types };
  return { nested: { containerd: { nested: { services: { nested: { events: { nested: { v1 } } } } } } } };
}

/** The part of containerd's snapshot service that shows what is in an image. */
export function snapshotsDescriptor(): { nested: Record<string, object> } {
  const types: Record<string, object> = {
    ViewSnapshotRequest: message('snapshotter:string=1 key:string=2 parent:string=3 labels:map<string>=4'),
    ViewSnapshotResponse: message('mounts:Mount[]=1'),
    MountsRequest: message('snapshotter:string=1 key:string=2'),
    MountsResponse: message('mounts:Mount[]=1'),
    RemoveSnapshotRequest: message('snapshotter:string=1 key:string=2'),
    Empty: message(''),
    Mount: message('type:string=1 source:string=2 target:string=3 options:string[]=4'),
    Snapshots: {
      methods: {
        View: { requestType: 'ViewSnapshotRequest', responseType: 'ViewSnapshotResponse' },
        Mounts: { requestType: 'MountsRequest', responseType: 'MountsResponse' },
        Remove: { requestType: 'RemoveSnapshotRequest', responseType: 'Empty' },
      },
    },
  };
  const v1 = { nested: types };
  return { nested: { containerd: { nested: { services: { nested: { snapshots: { nested: { v1 } } } } } } } };
}

function message(text: string): { fields: Record<string, FieldDescriptor> } {
  const fields: Record<string, FieldDescriptor> = {};
  for (const part of text === '' ? [] : text.split(' ')) {
    const [, name, type, number] = /^(\w+):([\w<>[\]]+)=(\d+)$/.exec(part)!;
    const id = Number(number);
    const map = /^map<(\w+)>$/.exec(type!);
    if (map) fields[name!] = { keyType: 'string', type: map[1]!, id };
    else if (type!.endsWith('[]')) fields[name!] = { rule: 'repeated', type: type!.slice(0, -2), id };
    else fields[name!] = { type: type!, id };
  }
  return { fields };
}

function service(methods: readonly string[]): object {
  const rows = methods.map((name) => [name, { requestType: `${name}Request`, responseType: `${name}Response` }]);
  return { methods: Object.fromEntries(rows) };
}
