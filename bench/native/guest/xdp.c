/* SPDX-License-Identifier: GPL-2.0 */
/* What becomes of each frame that comes in. */
#include <linux/bpf.h>

#define SECTION(name) __attribute__((section(name), used))

static long (*const redirect_to)(__u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;

SECTION("xdp") int drop(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SECTION("pass") int let_pass(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SECTION("tx") int send_back(struct xdp_md *ctx)
{
	return XDP_TX;
}

/* "out" is bound right after "rx", so its number is the next one. */
SECTION("redirect") int send_on(struct xdp_md *ctx)
{
	return redirect_to(ctx->ingress_ifindex + 1, 0);
}
