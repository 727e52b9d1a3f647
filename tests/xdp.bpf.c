/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For xdp.sh: a program that lets each packet pass.
 */
__attribute__((section("xdp"), used)) int pass(void *packet)
{
	(void)packet;
	return 2; /* XDP_PASS */
}

__attribute__((section("license"), used)) const char license_[] = "GPL";
