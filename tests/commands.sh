#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Commands of the control queue, on the test device (qemu-test/device): they are framed so that old and odd devices
# understand them too, whatever length these report.
. "$(dirname "$0")/lib.sh"

have_hostctl && hostctl device run=acked >/dev/null 2>&1 || skip_all "not on the test device"
dev() { hostctl device "run=$*" | sed '/^$/d'; return "${PIPESTATUS[0]}"; }
max=$(max_pairs)
timeout=/sys/module/virtio_net_mq/parameters/ctrl_timeout_ms
have_vlans() { modprobe 8021q 2>/dev/null || [ -d /proc/net/vlan ]; }

plan 4
at_exit 'set_pairs $max; ethtool -C $NETIF rx-usecs 0'
at_exit 'dev release; dev refuse; dev ctrl any; dev ctrl-used honest; echo 10000 >$timeout'
# How long is waited for an answer that doesn't come. The device answers at once.
patience() { ours && echo "$1" >$timeout; return 0; }

rebind() {
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind" || bad "$1: unbind"
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/bind" || bad "$1: bind"
	configure || bad "$1: the interface doesn't come up"
	[ "$(dev stat pairs)" = "$(pairs)" ] || bad "$1: $(pairs) pairs, the device has $(dev stat pairs)"
}
# Commands that the device didn't carry out.
refused() { echo $(($(dev stat commands) - $(dev stat commands_ok))); }
some_pairs() {
	local n
	for n in 1 "$max"; do
		set_pairs "$n" || bad "$1: $n pairs were refused"
		[ "$(dev stat pairs)" = "$n" ] || bad "$1: $n pairs wanted, the device has $(dev stat pairs)"
	done
}
# In the order of their numbers.
vlans() { dev stat vlans | tr -d '[],' | tr ' ' '\n' | sort -n | xargs; }
multicast_is() { [ "$(dev stat multicast)" = "$1" ]; }
# What else there is to say to a device.
all_sorts() {
	local n
	n=$(dev stat multicast)
	ip maddr add 33:33:00:00:12:34 dev "$NETIF" || bad "$1: no group"
	wait_for 10 multicast_is $((n + 1)) || bad "$1: the device has $(dev stat multicast) groups, not $((n + 1))"
	ip maddr del 33:33:00:00:12:34 dev "$NETIF"
	wait_for 10 multicast_is "$n" || bad "$1: the device has $(dev stat multicast) groups, not $n"
	if have_vlans; then
		ip link add link "$NETIF" name v7 type vlan id 7 || bad "$1: no VLAN"
		[[ " $(vlans) " == *" 7 "* ]] || bad "$1: the device has VLANs $(vlans), not 7"
		ip link del v7
		[[ " $(vlans) " == *" 7 "* ]] && bad "$1: the device has VLANs $(vlans), with 7"
	fi
	ip link set "$NETIF" promisc on && ip link set "$NETIF" promisc off || bad "$1: promisc"
	ethtool -C "$NETIF" rx-usecs 9 && ethtool -C "$NETIF" rx-usecs 0 || bad "$1: -C"
	ethtool -K "$NETIF" rx-gro-hw off && ethtool -K "$NETIF" rx-gro-hw on || bad "$1: -K"
	ethtool -S "$NETIF" >/dev/null || bad "$1: -S"
}

# --- descriptors ------------------------------------------------------------------------------------------------------

patience 3000
begin
dev ctrl legacy
rebind legacy
some_pairs legacy
all_sorts legacy
dev announce
gone() { [ "$(dev stat status)" = 1 ]; }
wait_for 10 gone || bad "the announcement isn't acknowledged"
[ "$(refused)" = 0 ] || bad "$(refused) of $(dev stat commands) commands were refused"
[ "$(dev violations | head -1)" = 0 ] || bad "rules broken: $(dev violations)"
reach || bad "no answer to ping"
verdict "framed as devices want it that know no other way"

# Such a device has no filter: what it makes of the tables' commands doesn't count.
begin
mark_log
dev ctrl three
rebind three
some_pairs three
dev announce
wait_for 10 gone || bad "the announcement isn't acknowledged"
ethtool -K "$NETIF" rx-gro-hw off && ethtool -K "$NETIF" rx-gro-hw on || bad "-K was refused"
log_since | grep 'not answered' >"$WORK/late" && bad "$(head -1 "$WORK/late")"
reach || bad "no answer to ping"
dev ctrl any
# Commands of which it sees a part look wrong to it.
dev violations clear
rebind any
verdict "a device that reads three descriptors finds what it wants in them"

# --- lengths ----------------------------------------------------------------------------------------------------------

begin
for len in 0 1 all 4294967295; do
	dev ctrl-used $len
	rebind "used $len"
	some_pairs "used $len"
	all_sorts "used $len"
	[ "$(refused)" = 0 ] || bad "used $len: $(refused) of $(dev stat commands) commands were refused"
done
reach || bad "no answer to ping"
dev ctrl-used honest
rebind honest
verdict "an answer counts whatever its length is said to be"

begin
[ "$(dev violations | head -1)" = 0 ] || bad "rules broken: $(dev violations)"
[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
verdict "the device sees no rule broken, the kernel has nothing to complain of"
finish
