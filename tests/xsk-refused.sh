#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device whose rings the DMA API doesn't map has no zero copy: that isn't announced, who demands it is refused, the log says once why
# and what would help, and who doesn't gets copy mode.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

[ "$ZC" = no ] || skip_all "this device has zero copy"
mark_log
plan 3
reach
attach to_socket || skip_all "$(said)"

begin
for _ in 1 2; do
	if xsk_start -z -w -q 0 hold "$NETIF"; then bad "bound with '$BOUND'"; xsk_end; fi
done
if ours; then
	# It may have said so as it found the device.
	n=$(dmesg | grep -c 'without zero copy: .*ACCESS_PLATFORM')
	[ "$n" = 1 ] || bad "the log speaks of it $n times"
	note "$(dmesg | grep 'zero copy')"
fi
nothing_said
verdict "zero copy is refused, and the log says why, once"

begin
xsk_start -w -q "$(all_queues)" echo "$NETIF" || bad "$(xsk_said)"
mode_is copy
echoes 320 100 "copy mode"
xsk_end
socket_sound "copy mode"
nothing_said
verdict "copy mode works"

begin
if have xdp-loader && ours; then
	xdp-loader features "$NETIF" >"$WORK/features" 2>&1
	grep -qE 'XSK_ZEROCOPY:[[:space:]]*no' "$WORK/features" || bad "$(grep XSK "$WORK/features")"
	verdict "it isn't announced"
else
	skip "it isn't announced" "the in-tree driver announces it always, or there is no xdp-loader"
fi
finish
