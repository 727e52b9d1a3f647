// SPDX-License-Identifier: GPL-2.0
/* The least that programs can be: what they cost is what the driver does. */
struct xdp_md;

#define ALWAYS(name, verdict) \
	__attribute__((section("xdp"), used)) int name(struct xdp_md *ctx) { return verdict; }

ALWAYS(drop, 1)
ALWAYS(pass, 2)
ALWAYS(tx, 3)

__attribute__((section("license"), used)) const char license_[] = "GPL";
