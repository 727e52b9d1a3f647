#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The device is unplugged under traffic and plugged in again: the interface goes without a word from the kernel, and the
# new one works. The last test of its guest.
. "$(dirname "$0")/lib.sh"

have_hostctl || skip_all "no hostctl: nobody to unplug the device"
TURNS=${TURNS:-3}
plan $((TURNS * 2 + 1))
hwaddr=$(mac)
mark_log

net_gone() { [ ! -e "/sys/bus/virtio/devices/$VDEV" ] && [ ! -e "/sys/class/net/$NETIF" ]; }
find_by_mac() {
	local d
	for d in /sys/class/net/*; do
		[ -e "$d/device" ] && [ "$(cat "$d/address")" = "$hwaddr" ] || continue
		NETIF=${d##*/}
		VDEV=$(basename "$(readlink -f "$d/device")")
		return 0
	done
	return 1
}

for ((turn = 1; turn <= TURNS; turn++)); do
	begin
	reach || bad "no answer to ping before"
	ping -q -f -w 60 "$PEER" >/dev/null 2>&1 &
	t1=$!
	timeout 60 iperf3 -c "$PEER" --bidir -P 2 -t 50 -i 0 --connect-timeout 3000 >/dev/null 2>&1 &
	t2=$!
	# A socket that stays open on the interface.
	tcpdump -Z root -n -w /dev/null -i "$NETIF" >/dev/null 2>&1 &
	t3=$!
	sleep 1
	((turn % 2 == 0)) && ip link set "$NETIF" down
	out=$(hostctl -t 40 unplug id=nic0 2>&1) || bad "unplug: $out"
	wait_for 20 net_gone || bad "the interface is still there: $(ls /sys/class/net /sys/bus/virtio/devices | tr '\n' ' ')"
	kill $t1 $t2 $t3 2>/dev/null
	wait $t1 $t2 $t3 2>/dev/null
	verdict "unplugged under traffic, turn $turn"

	begin
	out=$(hostctl -t 40 plug id=nic0 2>&1) || bad "plug: $out"
	if wait_for 30 find_by_mac; then
		now=$(basename "$(readlink -f "/sys/class/net/$NETIF/device/driver")")
		[ "$now" = "$DRV" ] || bad "the driver is $now"
		configure || bad "$NETIF doesn't come up"
		reach || bad "no answer to ping"
		[ "$(max_pairs)" = "${QUEUES:-$(max_pairs)}" ] || bad "at most $(max_pairs) pairs"
	else
		bad "no interface: $(log_since | tail -3)"
	fi
	verdict "plugged in again, turn $turn"
done

begin
while IFS= read -r l; do bad "$l"; done < <(log_problems)
verdict "the kernel's log is clean"
finish
