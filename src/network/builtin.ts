/**
 * The two networks that exist without any configuration, byte for byte with rkt 1.x's values: a configuration in LOCALCONFIG/net.d with the same name
 * replaces them. They stay at CNI 0.1.0, which every plugin release understands, also the ones an administrator may have kept in /usr/lib/rkt/plugins/net.
 */

export const BUILTIN_NETWORKS: readonly { readonly file: string; readonly text: string }[] = [
  {
    file: "99-default.conf",
    text: `{
	"cniVersion": "0.1.0",
	"name": "default",
	"type": "ptp",
	"ipMasq": true,
	"ipam": {
		"type": "host-local",
		"subnet": "172.16.28.0/24",
		"routes": [
			{ "dst": "0.0.0.0/0" }
		]
	}
}
`,
  },
  {
    file: "99-default-restricted.conf",
    text: `{
	"cniVersion": "0.1.0",
	"name": "default-restricted",
	"type": "ptp",
	"ipMasq": false,
	"ipam": {
		"type": "host-local",
		"subnet": "172.31.0.0/16"
	}
}
`,
  },
];
