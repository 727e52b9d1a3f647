// SPDX-License-Identifier: GPL-2.0
/*
 * The programs of the tests xdp-*.sh. Each judges the test's own frames (UDP to port 7200, which the peer's FRAMES sends),
 * counts them, and lets all others pass. Programs for packets of several buffers have names that end in _frags.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 7200
/* The address of who is reached by redirection only: the last byte of 192.0.2.50. */
#define BEHIND bpf_htonl(0xc0000232)
#define MARK 0x766e6d71

/* Places in `counts`: JUDGED by a program, and what the stack got: all, with metadata, of VLAN 5, with a hash, with that as metadata, with
 * the queue that they came from. */
enum { JUDGED, FAILED, SEEN, WITH_META, IN_VLAN, HASHED, SAME_HASH, QUEUED, PLACES };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

/* By how many bytes a program moves what it moves. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} bytes SEC(".maps");

/* A map of devices or CPUs serves either programs for packets of several buffers or those for packets of one. */
#define MAP(name, kind, entries, what)		\
	struct {				\
		__uint(type, kind);		\
		__uint(max_entries, entries);	\
		__type(key, __u32);		\
		__type(value, what);		\
	} name SEC(".maps"), name##_frags SEC(".maps")

/* 0: the device itself; 1: another one. */
MAP(ports, BPF_MAP_TYPE_DEVMAP, 2, __u32);
/* No more than the kernel was built for. */
MAP(cpus, BPF_MAP_TYPE_CPUMAP, 4, struct bpf_cpumap_val);

/* AF_XDP's sockets, by the queues that they are bound to. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

static __always_inline void count(__u32 place)
{
	__u64 *n = bpf_map_lookup_elem(&counts, &place);

	if (n)
		__sync_fetch_and_add(n, 1);
}

static __always_inline int amount(void)
{
	__u32 key = 0, *n = bpf_map_lookup_elem(&bytes, &key);

	return n ? *n & 1023 : 0;
}

/* Whether a frame is the test's. */
static __always_inline int judged(void *data, void *end)
{
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct udphdr *udp;
	__be16 proto;

	if ((void *)(eth + 1) > end)
		return 0;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q)) {
		if (data + 18 > end)
			return 0;
		proto = *(__be16 *)(data + 16);
		ip = data + 18;
	}
	if (proto != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > end || ip->protocol != 17)
		return 0;
	udp = (void *)(ip + 1);
	return (void *)(udp + 1) <= end && udp->dest == bpf_htons(PORT);
}

static __always_inline int ours(struct xdp_md *ctx)
{
	if (!judged((void *)(long)ctx->data, (void *)(long)ctx->data_end))
		return 0;
	count(JUDGED);
	return 1;
}

static __always_inline void swap_addresses(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	unsigned char was[ETH_ALEN];

	if ((void *)(eth + 1) > end)
		return;
	__builtin_memcpy(was, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, was, ETH_ALEN);
}

static __always_inline int back(struct xdp_md *ctx)
{
	swap_addresses(ctx);
	return XDP_TX;
}

static __always_inline int failed(void)
{
	count(FAILED);
	return XDP_DROP;
}

/*
 * In front of what the frame is then comes a copy of its addresses, with another type, so that the way it goes still has
 * some.
 */
static __always_inline int move_head(struct xdp_md *ctx, int by)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr was, *eth = data;

	if ((void *)(eth + 1) > end)
		return failed();
	was = *eth;
	if (bpf_xdp_adjust_head(ctx, by))
		return failed();
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	if ((void *)(eth + 1) > end)
		return failed();
	*eth = was;
	eth->h_proto = bpf_htons(0x88b5);
	return back(ctx);
}

static __always_inline int move_tail(struct xdp_md *ctx, int by)
{
	if (bpf_xdp_adjust_tail(ctx, by))
		return failed();
	return back(ctx);
}

static __always_inline int put_meta(struct xdp_md *ctx)
{
	__u32 *meta;

	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta)))
		return failed();
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > (void *)(long)ctx->data)
		return failed();
	*meta = MARK;
	return XDP_PASS;
}

#define ONE(kind, name, ...) \
	SEC(kind) int name(struct xdp_md *ctx) { return ours(ctx) ? (__VA_ARGS__) : XDP_PASS; }
#define EACH(name, ...) ONE("xdp", name, __VA_ARGS__) ONE("xdp.frags", name##_frags, __VA_ARGS__)
#define EACH_BY(name, map, which) \
	ONE("xdp", name, (swap_addresses(ctx), bpf_redirect_map(&map, which, 0))) \
	ONE("xdp.frags", name##_frags, (swap_addresses(ctx), bpf_redirect_map(&map##_frags, which, 0)))

EACH(pass, XDP_PASS)
EACH(drop, XDP_DROP)
EACH(aborted, XDP_ABORTED)
EACH(unknown, 77)
EACH(tx, back(ctx))
EACH(head_grow, move_head(ctx, -amount()))
EACH(head_shrink, move_head(ctx, amount()))
EACH(tail_grow, move_tail(ctx, amount()))
EACH(tail_shrink, move_tail(ctx, -amount()))
EACH(meta, put_meta(ctx))
EACH_BY(to_self, ports, 0)
EACH_BY(to_nowhere, ports, 1)
/* Where there is none, to the stack. */
EACH(to_socket, bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS))
ONE("xdp", to_cpu, bpf_redirect_map(&cpus, amount(), 0))
ONE("xdp.frags", to_cpu_frags, bpf_redirect_map(&cpus_frags, amount(), 0))

/* A second one that drops, to swap it with the first. */
SEC("xdp") int drop_too(struct xdp_md *ctx)
{
	return ours(ctx) ? XDP_DROP : XDP_PASS;
}

/* Frames for who is behind the second port go there. */
SEC("xdp") int inwards(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	/* ARP has the address that is asked for at 24. */
	if ((void *)(eth + 1) <= end && eth->h_proto == bpf_htons(ETH_P_ARP) && data + 14 + 28 <= end &&
	    !__builtin_memcmp(data + 14 + 24, &(__be32){BEHIND}, 4))
		return bpf_redirect_map(&ports, 1, 0);
	if ((void *)(ip + 1) <= end && eth->h_proto == bpf_htons(ETH_P_IP) && ip->daddr == BEHIND) {
		count(JUDGED);
		return bpf_redirect_map(&ports, 1, 0);
	}
	return XDP_PASS;
}

/* And all that comes from there leaves by the device. */
SEC("xdp") int outwards(struct xdp_md *ctx)
{
	return bpf_redirect_map(&ports, 0, 0);
}

/* For a device that misbehaves: echo and ARP pass, everything else meets a verdict by chance. */
static __always_inline int chance(struct xdp_md *ctx, void *map)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);

	if ((void *)(ip + 1) > end)
		return XDP_TX;
	if (eth->h_proto == bpf_htons(ETH_P_ARP) || (eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == 1))
		return XDP_PASS;
	switch (bpf_get_prandom_u32() % 6) {
	case 0:
		return XDP_DROP;
	case 1:
		return XDP_TX;
	case 2:
		return bpf_redirect_map(map, 0, 0);
	case 3:
		return bpf_xdp_adjust_head(ctx, -16) ? XDP_ABORTED : XDP_TX;
	case 4:
		return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
	default:
		return put_meta(ctx);
	}
}

SEC("xdp") int by_chance(struct xdp_md *ctx)
{
	return chance(ctx, &ports);
}

SEC("xdp.frags") int by_chance_frags(struct xdp_md *ctx)
{
	return chance(ctx, &ports_frags);
}

/* What the stack gets. */
SEC("tc") int seen(struct __sk_buff *skb)
{
	__u32 *meta = (void *)(long)skb->data_meta;

	if (!judged((void *)(long)skb->data, (void *)(long)skb->data_end))
		return 0;
	count(SEEN);
	if ((void *)(meta + 1) <= (void *)(long)skb->data && *meta == MARK)
		count(WITH_META);
	if (skb->vlan_present && (skb->vlan_tci & 0xfff) == 5)
		count(IN_VLAN);
	if (skb->hash) {
		count(HASHED);
		if ((void *)(meta + 1) <= (void *)(long)skb->data && *meta == skb->hash)
			count(SAME_HASH);
	}
	/* The queue's number and one, until a queue to send on is chosen. */
	if (skb->queue_mapping)
		count(QUEUED);
	return 0;
}

char license_[] SEC("license") = "GPL";
