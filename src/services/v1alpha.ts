/** Generated from v1alpha.proto by tools/generate-api.ts: not edited by hand. */

import type { MessageType } from "./protobuf.ts";

export const ImageType = {
  IMAGE_TYPE_UNDEFINED: 0,
  IMAGE_TYPE_APPC: 1,
  IMAGE_TYPE_DOCKER: 2,
  IMAGE_TYPE_OCI: 3,
} as const;

export const AppState = {
  APP_STATE_UNDEFINED: 0,
  APP_STATE_RUNNING: 1,
  APP_STATE_EXITED: 2,
} as const;

export const PodState = {
  POD_STATE_UNDEFINED: 0,
  POD_STATE_EMBRYO: 1,
  POD_STATE_PREPARING: 2,
  POD_STATE_PREPARED: 3,
  POD_STATE_RUNNING: 4,
  POD_STATE_ABORTED_PREPARE: 5,
  POD_STATE_EXITED: 6,
  POD_STATE_DELETING: 7,
  POD_STATE_GARBAGE: 8,
} as const;

export const EventType = {
  EVENT_TYPE_UNDEFINED: 0,
  EVENT_TYPE_POD_PREPARED: 1,
  EVENT_TYPE_POD_PREPARE_ABORTED: 2,
  EVENT_TYPE_POD_STARTED: 3,
  EVENT_TYPE_POD_EXITED: 4,
  EVENT_TYPE_POD_GARBAGE_COLLECTED: 5,
  EVENT_TYPE_APP_STARTED: 6,
  EVENT_TYPE_APP_EXITED: 7,
  EVENT_TYPE_IMAGE_IMPORTED: 8,
  EVENT_TYPE_IMAGE_REMOVED: 9,
} as const;

export const ImageFormat: MessageType = {
  name: "ImageFormat",
  fields: {
    type: { number: 1, kind: "enum" },
    version: { number: 2, kind: "string" },
  },
};

export const Network: MessageType = {
  name: "Network",
  fields: {
    name: { number: 1, kind: "string" },
    ipv4: { number: 2, kind: "string" },
    ipv6: { number: 3, kind: "string" },
  },
};

export const KeyValue: MessageType = {
  name: "KeyValue",
  fields: {
    Key: { number: 1, kind: "string" },
    value: { number: 2, kind: "string" },
  },
};

export const PodFilter: MessageType = {
  name: "PodFilter",
  fields: {
    ids: { number: 1, kind: "string", repeated: true },
    states: { number: 2, kind: "enum", repeated: true },
    app_names: { number: 3, kind: "string", repeated: true },
    image_ids: { number: 4, kind: "string", repeated: true },
    network_names: { number: 5, kind: "string", repeated: true },
    annotations: { number: 6, kind: KeyValue, repeated: true },
    cgroups: { number: 7, kind: "string", repeated: true },
    pod_sub_cgroups: { number: 8, kind: "string", repeated: true },
  },
};

export const ImageFilter: MessageType = {
  name: "ImageFilter",
  fields: {
    ids: { number: 1, kind: "string", repeated: true },
    prefixes: { number: 2, kind: "string", repeated: true },
    base_names: { number: 3, kind: "string", repeated: true },
    keywords: { number: 4, kind: "string", repeated: true },
    labels: { number: 5, kind: KeyValue, repeated: true },
    imported_after: { number: 6, kind: "int64" },
    imported_before: { number: 7, kind: "int64" },
    annotations: { number: 8, kind: KeyValue, repeated: true },
    full_names: { number: 9, kind: "string", repeated: true },
  },
};

export const GlobalFlags: MessageType = {
  name: "GlobalFlags",
  fields: {
    dir: { number: 1, kind: "string" },
    system_config_dir: { number: 2, kind: "string" },
    local_config_dir: { number: 3, kind: "string" },
    user_config_dir: { number: 4, kind: "string" },
    insecure_flags: { number: 5, kind: "string" },
    trust_keys_from_https: { number: 6, kind: "bool" },
  },
};

export const Info: MessageType = {
  name: "Info",
  fields: {
    rkt_version: { number: 1, kind: "string" },
    appc_version: { number: 2, kind: "string" },
    api_version: { number: 3, kind: "string" },
    global_flags: { number: 4, kind: GlobalFlags },
  },
};

export const Event: MessageType = {
  name: "Event",
  fields: {
    type: { number: 1, kind: "enum" },
    id: { number: 2, kind: "string" },
    from: { number: 3, kind: "string" },
    time: { number: 4, kind: "int64" },
    data: { number: 5, kind: KeyValue, repeated: true },
  },
};

export const EventFilter: MessageType = {
  name: "EventFilter",
  fields: {
    types: { number: 1, kind: "enum", repeated: true },
    ids: { number: 2, kind: "string", repeated: true },
    names: { number: 3, kind: "string", repeated: true },
    since_time: { number: 4, kind: "int64" },
    until_time: { number: 5, kind: "int64" },
  },
};

export const GetInfoRequest: MessageType = {
  name: "GetInfoRequest",
  fields: {},
};

export const GetInfoResponse: MessageType = {
  name: "GetInfoResponse",
  fields: {
    info: { number: 1, kind: Info },
  },
};

export const ListPodsRequest: MessageType = {
  name: "ListPodsRequest",
  fields: {
    filters: { number: 1, kind: PodFilter, repeated: true },
    detail: { number: 2, kind: "bool" },
  },
};

export const InspectPodRequest: MessageType = {
  name: "InspectPodRequest",
  fields: {
    id: { number: 1, kind: "string" },
  },
};

export const ListImagesRequest: MessageType = {
  name: "ListImagesRequest",
  fields: {
    filters: { number: 1, kind: ImageFilter, repeated: true },
    detail: { number: 2, kind: "bool" },
  },
};

export const InspectImageRequest: MessageType = {
  name: "InspectImageRequest",
  fields: {
    id: { number: 1, kind: "string" },
  },
};

export const ListenEventsRequest: MessageType = {
  name: "ListenEventsRequest",
  fields: {
    filter: { number: 1, kind: EventFilter },
  },
};

export const ListenEventsResponse: MessageType = {
  name: "ListenEventsResponse",
  fields: {
    events: { number: 1, kind: Event, repeated: true },
  },
};

export const GetLogsRequest: MessageType = {
  name: "GetLogsRequest",
  fields: {
    pod_id: { number: 1, kind: "string" },
    app_name: { number: 2, kind: "string" },
    lines: { number: 3, kind: "int32" },
    follow: { number: 4, kind: "bool" },
    since_time: { number: 5, kind: "int64" },
    until_time: { number: 6, kind: "int64" },
  },
};

export const GetLogsResponse: MessageType = {
  name: "GetLogsResponse",
  fields: {
    lines: { number: 1, kind: "string", repeated: true },
  },
};

export const Image: MessageType = {
  name: "Image",
  fields: {
    base_format: { number: 1, kind: ImageFormat },
    id: { number: 2, kind: "string" },
    name: { number: 3, kind: "string" },
    version: { number: 4, kind: "string" },
    import_timestamp: { number: 5, kind: "int64" },
    manifest: { number: 6, kind: "bytes" },
    size: { number: 7, kind: "int64" },
    annotations: { number: 8, kind: KeyValue, repeated: true },
    labels: { number: 9, kind: KeyValue, repeated: true },
  },
};

export const App: MessageType = {
  name: "App",
  fields: {
    name: { number: 1, kind: "string" },
    image: { number: 2, kind: Image },
    state: { number: 3, kind: "enum" },
    exit_code: { number: 4, kind: "sint32" },
    annotations: { number: 5, kind: KeyValue, repeated: true },
  },
};

export const Pod: MessageType = {
  name: "Pod",
  fields: {
    id: { number: 1, kind: "string" },
    pid: { number: 2, kind: "sint32" },
    state: { number: 3, kind: "enum" },
    apps: { number: 4, kind: App, repeated: true },
    networks: { number: 5, kind: Network, repeated: true },
    manifest: { number: 6, kind: "bytes" },
    annotations: { number: 7, kind: KeyValue, repeated: true },
    cgroup: { number: 8, kind: "string" },
    created_at: { number: 9, kind: "int64" },
    started_at: { number: 10, kind: "int64" },
    gc_marked_at: { number: 11, kind: "int64" },
  },
};

export const ListPodsResponse: MessageType = {
  name: "ListPodsResponse",
  fields: {
    pods: { number: 1, kind: Pod, repeated: true },
  },
};

export const InspectPodResponse: MessageType = {
  name: "InspectPodResponse",
  fields: {
    pod: { number: 1, kind: Pod },
  },
};

export const ListImagesResponse: MessageType = {
  name: "ListImagesResponse",
  fields: {
    images: { number: 1, kind: Image, repeated: true },
  },
};

export const InspectImageResponse: MessageType = {
  name: "InspectImageResponse",
  fields: {
    image: { number: 1, kind: Image },
  },
};
