/* SPDX-License-Identifier: GPL-2.0 */
/* Drops what comes in. */
struct xdp_md;

__attribute__((section("xdp"), used)) int drop(struct xdp_md *ctx)
{
	return 1; /* XDP_DROP */
}
