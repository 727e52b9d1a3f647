#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The carrier follows the device's link state, and traffic with it; and when the device asks for announcements (as it does
# after a migration), the interface sends gratuitous ARP and acknowledges, so that the device can ask again.
. "$(dirname "$0")/lib.sh"

have_hostctl || skip_all "no hostctl: nobody to switch the link"
hostctl qmp set_link name=nic0 up=true >/dev/null || skip_all "the host can't switch the link"
plan 6
at_exit 'hostctl qmp set_link name=nic0 up=true'
reach

begin
for turn in 1 2 3; do
	link_down || bad "turn $turn: the carrier is there with the link down"
	link_up || bad "turn $turn: no carrier with the link up"
	reach || bad "turn $turn: no answer to ping"
done
verdict "the carrier follows the link"

# Changes while the interface is down are seen when it comes up.
begin
ip link set "$NETIF" down
hostctl qmp set_link name=nic0 up=false >/dev/null
ip link set "$NETIF" up
wait_for 10 no_carrier || bad "the carrier is there, though the link went down meanwhile"
[ "$(cat "/sys/class/net/$NETIF/operstate")" != up ] || bad "the operational state is up"
ip link set "$NETIF" down
hostctl qmp set_link name=nic0 up=true >/dev/null
ip link set "$NETIF" up
wait_for 10 carrier || bad "no carrier, though the link came up meanwhile"
reach || bad "no answer to ping"
verdict "the link changes while the interface is down"

begin
iperf_start -t 6
sleep 1
for turn in 1 2; do
	link_down || bad "turn $turn: carrier"
	link_up || bad "turn $turn: no carrier"
	sleep 1
done
iperf_ok || bad "iperf3: $(iperf_last)"
verdict "TCP survives a link that goes and comes"

# The host throws away what is sent until the guest knows that the link is gone. With a packed ring QEMU loses
# count of it then (see lib.sh).
begin
for turn in 1 2 3; do
	floods=()
	for c in $(online_cpus); do
		timeout 30 taskset -c "$c" ping -q -f -c 4000 "$PEER" >/dev/null 2>&1 &
		floods+=($!)
	done
	nap 0.5
	link_down || bad "turn $turn: carrier"
	kill "${floods[@]}" 2>/dev/null
	wait "${floods[@]}"
	hostctl qmp set_link name=nic0 up=true >/dev/null
	wait_for 90 carrier || bad "turn $turn: no carrier"
	for c in $(online_cpus); do
		wait_for 90 from_cpu "$c" -c 2 -i 0.1 -W 1 "$PEER" || bad "turn $turn: no answer to CPU $c"
	done
done
verdict "each queue sends after a link that went while it did"

if ! negotiated 21; then
	skip "announces when asked, each time" "the device has no GUEST_ANNOUNCE"
	skip "acknowledges" "the device has no GUEST_ANNOUNCE"
elif [ -z "$PEER_NS" ]; then
	skip "announces when asked, each time" "no PEER_NS to listen in"
	skip "acknowledges" "no PEER_NS to listen in"
else
	# Gratuitous: sender and target address are the same. (QEMU itself sends RARP, which is another protocol.)
	dump "$WORK/dump" -n "$PEER_NS" -i eth0 "arp and ether src $(mac) and arp[14:4] == arp[24:4]"
	seen() { grep -c ARP "$WORK/dump"; }
	more_than() { [ "$(seen)" -gt "$1" ]; }
	ctrl_used() { virtqueue $((2 * $(max_pairs))) | grep -o '"used-idx": [0-9]*' | grep -o '[0-9]*$'; }

	begin
	[ "$(seen)" = 0 ] || bad "gratuitous ARP before anything was asked: $(cat "$WORK/dump")"
	used0=$(ctrl_used)
	for turn in 1 2 3; do
		n=$(seen)
		hostctl qmp announce-self initial=50 max=50 rounds=1 step=0 >/dev/null || bad "turn $turn: the host can't ask"
		wait_for 10 more_than "$n" || bad "turn $turn: no gratuitous ARP seen"
	done
	verdict "announces when asked, each time"

	# An announcement that was not acknowledged would be sent again whenever the configuration changes.
	begin
	sleep 1
	used=$(ctrl_used)
	[ -z "$used0" ] || [ $(((used - used0) & 0xffff)) -ge 3 ] || bad "control queue: $used0 commands before, $used after 3 announcements"
	n=$(seen)
	link_down || bad "carrier"
	link_up || bad "no carrier"
	reach || bad "no answer to ping"
	sleep 1
	[ "$(seen)" = "$n" ] || bad "$(($(seen) - n)) announcements that nobody asked for"
	verdict "acknowledges"
fi
finish
