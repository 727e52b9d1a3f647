#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The kernel's own tests of AF_XDP (tools/testing/selftests/bpf/xskxceiver) on the interface, whose other end sends everything back:
# in copy mode and with zero copy, with and without busy polling. (CASE in the environment: the number of one of them.)
. "$(dirname "$0")/lib.sh"
at_exit 'ip link set dev "$NETIF" mtu 1500'
ip link set dev "$NETIF" mtu 1500
. "$HERE/xsk/lib.sh"

have xskxceiver || skip_all "there is no xskxceiver"
plan $(($(modes | wc -w) * 2))
reach
rm -rf "$PINNED"
mark_log

# Frames that the guest sends come back on the queue that they were sent on, and nothing else comes.
first_pairs=$(pairs)
at_exit 'set_pairs $first_pairs; ip link set dev "$NETIF" promisc off'
at_exit 'hostctl host run="nft delete table netdev vnm; ip link set $TAP master br0 txqueuelen 1000"'
set_pairs 1
ip link set "$NETIF" promisc on
echo 1 >"/proc/sys/net/ipv6/conf/$NETIF/disable_ipv6"
at_exit 'echo 0 >"/proc/sys/net/ipv6/conf/$NETIF/disable_ipv6"'
ip addr flush dev "$NETIF"
# Chunks that lie anywhere and take more than a page lie in large ones.
echo 128 >/proc/sys/vm/nr_hugepages
at_exit 'echo 0 >/proc/sys/vm/nr_hugepages'
# The tap has room for all that may be on its way.
hostctl host run="ip link set $TAP nomaster txqueuelen 16384 && nft add table netdev vnm &&
	nft add chain netdev vnm back '{ type filter hook ingress device $TAP priority 0; }' && nft add rule netdev vnm back fwd to $TAP" >"$WORK/nft" 2>&1 ||
	skip_all "the host can't send back: $(cat "$WORK/nft")"

# What is known to fail. With the in-tree driver as well: it counts on what a card in loopback mode does with both ends of one socket.
ODD='BIDIRECTIONAL'
# This one as well, where packets are copied, which is the kernel's own code; without copies it passes.
ODD_COPY='TOO_MANY_FRAGS'
# And these, which the in-tree driver hasn't, want all buffers of a packet that wasn't copied to begin at the same place
# (is_offset_correct). A device of virtio's puts a header into the first one, before the packet, and none into the others, which all
# are posted before anybody knows which is the first.
ODD_ZERO='ALIGNED_INV_DESC_MULTI_BUFF|XDP_ADJUST_TAIL_GROW_MULTI_BUFF|SEND_RECEIVE_9K_PACKETS|SEND_RECEIVE_UNALIGNED_9K_PACKETS|UNALIGNED_INV_DESC_MULTI_BUFF'
ours || ODD_ZERO=$ODD_COPY
# These count on the host's having sent back, within a millisecond, what is too much for a ring: they may fail, and may pass.
LATE='STAT_FILL_EMPTY|STAT_RX_FULL'

# A case that leaves frames on their way would have the next one get them, and that would find the socket before it on the queue still.
received() { cat "/sys/class/net/$NETIF/statistics/rx_packets"; }
is_quiet() { local n; n=$(received); sleep 0.3; [ "$(received)" = "$n" ]; }
dir=/sys/class/net/$NETIF
for kind in $(modes); do
	[ "$kind" = zero ] && mode=zc || mode=drv
	for busy in "" -b; do
		if [ "$kind$busy" = zero-b ] && ! ours; then
			skip "zero, busy polling: xskxceiver" "the in-tree driver sends nothing then"
			continue
		fi
		begin
		if [ "$busy" ]; then
			echo 2 >"$dir/napi_defer_hard_irqs"
			echo 200000 >"$dir/gro_flush_timeout"
		fi
		: >"$WORK/all"
		for n in ${CASE:-$(xskxceiver -l | grep -oE '^[0-9]+')}; do
			# shellcheck disable=SC2086  # nothing, perhaps
			timeout $((${LIMIT:-60} * SLOW)) xskxceiver -i "$NETIF" -i "$NETIF" -m $mode $busy -t "$n" >"$WORK/one" 2>&1
			[ $? != 124 ] || bad "case $n doesn't end"
			grep -qE '^(not )?ok' "$WORK/one" || bad "case $n says nothing: $(tail -1 "$WORK/one")"
			cat "$WORK/one" >>"$WORK/all"
			# With long frames allowed the next one's first program, for packets in one piece, would be refused.
			ip link set dev "$NETIF" mtu 1500 xdp off
			wait_for 10 is_quiet
		done
		echo 0 >"$dir/napi_defer_hard_irqs"
		echo 0 >"$dir/gro_flush_timeout"
		while IFS= read -r line; do note "$line"; done < <(grep -vE '^ok|^1\.\.|^TAP|^# Totals' "$WORK/all" | tail -100)
		grep -q '^ok' "$WORK/all" || bad "nothing passes: $(tail -1 "$WORK/all")"
		[ "$kind" = zero ] && odd=$ODD\|$ODD_ZERO || odd=$ODD\|$ODD_COPY
		while IFS= read -r line; do bad "$line"; done < <(grep '^not ok' "$WORK/all" | grep -vE " ($odd|$LATE)\$")
		# So that this list stays true.
		ours && while IFS= read -r line; do bad "no failure any more: $line"; done < <(grep '^ok' "$WORK/all" | grep -E " ($odd)\$")
		note "$kind $busy: $(grep -c '^ok' "$WORK/all") pass, $(grep -c '^not ok' "$WORK/all") don't"
		ip link set dev "$NETIF" mtu 1500 xdp off
		nothing_said
		verdict "$kind${busy:+, busy polling}: xskxceiver"
	done
done
finish
