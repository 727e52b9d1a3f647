// SPDX-License-Identifier: GPL-2.0
/*
 * For xdp-hash.sh: the device's hash of the test's frames (UDP to port 7200), asked for with the head where it was, with the head
 * moved, and with metadata; what the program got goes with the packet as metadata, for `seen` of programs.bpf.c.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 7200
#define ENODATA 61
#define BY 16

enum xdp_rss_hash_type { KINDS = 0xffffffff };

extern int bpf_xdp_metadata_rx_hash(const struct xdp_md *ctx, __u32 *hash, enum xdp_rss_hash_type *type) __ksym;

/* The frames, those without a hash, without one for another reason, with another hash later, and the last type. */
enum { FRAMES, WITHOUT, FAILED, CHANGED, TYPE, PLACES };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, __u64);
} hashes SEC(".maps");

static __always_inline __u64 *place(__u32 at)
{
	return bpf_map_lookup_elem(&hashes, &at);
}

static __always_inline void count(__u32 at)
{
	__u64 *n = place(at);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline int is_ours(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);

	return (void *)(udp + 1) <= end && eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == 17 &&
	       udp->dest == bpf_htons(PORT);
}

SEC("xdp") int hash(struct xdp_md *ctx)
{
	__u32 first = 0, again = 0, *meta;
	enum xdp_rss_hash_type type = 0, same = 0;
	__u64 *kind;
	int err;

	if (!is_ours((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return XDP_PASS;
	count(FRAMES);
	err = bpf_xdp_metadata_rx_hash(ctx, &first, &type);
	if (err) {
		count(err == -ENODATA ? WITHOUT : FAILED);
		return XDP_PASS;
	}
	/* What is written there is where the device had its header. */
	if (bpf_xdp_adjust_head(ctx, -BY))
		return XDP_DROP;
	if ((void *)(long)ctx->data + BY <= (void *)(long)ctx->data_end)
		__builtin_memset((void *)(long)ctx->data, 0x5a, BY);
	if (bpf_xdp_metadata_rx_hash(ctx, &again, &same) || again != first || same != type)
		count(CHANGED);
	if (bpf_xdp_adjust_head(ctx, 2 * BY) || bpf_xdp_metadata_rx_hash(ctx, &again, &same) || again != first || same != type)
		count(CHANGED);
	if (bpf_xdp_adjust_head(ctx, -BY) || bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return XDP_DROP;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return XDP_DROP;
	*meta = first;
	if (bpf_xdp_metadata_rx_hash(ctx, &again, &same) || again != first || same != type)
		count(CHANGED);
	kind = place(TYPE);
	if (kind)
		*kind = type;
	return XDP_PASS;
}

char license_[] SEC("license") = "GPL";
