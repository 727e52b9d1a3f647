// SPDX-License-Identifier: GPL-2.0
/* The least that programs can be: what they cost is what the driver does. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define ALWAYS(name, verdict) \
	SEC("xdp") int name(struct xdp_md *ctx) { return verdict; }

ALWAYS(drop, XDP_DROP)
ALWAYS(pass, XDP_PASS)
ALWAYS(tx, XDP_TX)

/* Packets in several buffers. */
SEC("xdp.frags") int drop_frags(struct xdp_md *ctx)
{
	return XDP_DROP;
}

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CPUMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_cpumap_val);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

/* The next device is the one that came after this one. */
ALWAYS(to_dev, bpf_redirect(ctx->ingress_ifindex + 1, 0))
ALWAYS(to_map, bpf_redirect_map(&ports, 0, 0))
ALWAYS(to_cpu, bpf_redirect_map(&cpus, 0, 0))
ALWAYS(to_socket, bpf_redirect_map(&sockets, 0, 0))

char license_[] SEC("license") = "GPL";
