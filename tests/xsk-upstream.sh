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

# These fail with the in-tree driver as well: they count on what a card in loopback mode does with both ends of one socket, and with a
# frame of more descriptors than it may have.
ODD='BIDIRECTIONAL|TOO_MANY_FRAGS'
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
		# shellcheck disable=SC2086  # nothing, perhaps
		timeout $((${LIMIT:-500} * SLOW)) xskxceiver -i "$NETIF" -i "$NETIF" -m $mode $busy ${CASE:+-t "$CASE"} >"$WORK/all" 2>&1
		status=$?
		echo 0 >"$dir/napi_defer_hard_irqs"
		echo 0 >"$dir/gro_flush_timeout"
		while IFS= read -r line; do note "$line"; done < <(grep -vE '^ok|^1\.\.|^TAP' "$WORK/all" | tail -100)
		grep -q '^ok' "$WORK/all" || bad "nothing passes (status $status): $(tail -1 "$WORK/all")"
		[ $status != 124 ] || bad "it doesn't end after $(grep -cE '^(not )?ok' "$WORK/all") cases"
		while IFS= read -r line; do bad "$line"; done < <(grep '^not ok' "$WORK/all" | grep -vE " ($ODD)\$")
		note "$kind $busy: $(grep -E '^# Totals' "$WORK/all")"
		ip link set dev "$NETIF" mtu 1500 xdp off
		nothing_said
		verdict "$kind${busy:+, busy polling}: xskxceiver"
	done
done
finish
