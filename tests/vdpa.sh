#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The driver on virtio-vdpa, whose device is a process (VDUSE): counts agree on both sides, the carrier follows the link,
# driver and device come and go, and the device has seen no broken rule.
. "$(dirname "$0")/lib.sh"

control=/run/testdev.ctl
[ -S "$control" ] || skip_all "no device on VDUSE"
plan 6

# Says something to the device; its answer, or failure.
device() {
	local word text
	IFS=' ' read -r word text < <(socat -t 10 - "UNIX-CONNECT:$control" <<<"$*")
	[ -z "$text" ] || printf '%b\n' "$text"
	[ "$word" = ok ]
}
# What the device has counted.
device_stat() { device "stat $1"; }
at_exit 'device link up'
reach

begin
where=$(readlink -f "/sys/bus/virtio/devices/$VDEV")
[[ $where == */vduse/net0/* ]] || bad "the device is $where"
[ "$(max_pairs)/$(pairs)" = 1/1 ] || bad "$(pairs) pairs of $(max_pairs)"
negotiated 33 || bad "ACCESS_PLATFORM isn't negotiated"
negotiated 17 && bad "there is a control queue"
ethtool -L "$NETIF" combined 2 2>/dev/null && bad "a second pair was promised"
verdict "one pair on a device of vDPA"

begin
# Both sides are asked one after the other, and packets that nobody asked for come now and then: what both say twice was said of
# the same moment.
counts() { echo "$(device_stat tx0.packets) $(device_stat rx0.packets) $(if_stat tx_packets) $(if_stat rx_packets)"; }
at_rest() { rest=$(counts); nap 1; [ "$rest" = "$(counts)" ]; }
wait_for 20 at_rest || bad "there is always a packet under way"
read -r tx0 rx0 own_tx0 own_rx0 <<<"$rest"
for c in $(online_cpus); do answered 500 "$c" -f -s 1400 "$PEER" || bad "pings are lost from CPU $c"; done
wait_for 20 at_rest || bad "there is always a packet under way afterwards"
read -r tx rx own_tx own_rx <<<"$rest"
tx=$((tx - tx0)) rx=$((rx - rx0)) own_tx=$((own_tx - own_tx0)) own_rx=$((own_rx - own_rx0))
[ "$tx/$rx" = "$own_tx/$own_rx" ] || bad "the device counts $tx/$rx packets (sent/received), the driver $own_tx/$own_rx"
[ "$tx" -ge 1000 ] || bad "$tx packets for 1000 pings"
verdict "counts agree on both sides"

begin
for turn in 1 2 3; do
	device link down || bad "turn $turn: the device doesn't switch the link off"
	wait_for 10 no_carrier || bad "turn $turn: carrier with the link down"
	device link up || bad "turn $turn: the device doesn't switch the link on"
	wait_for 10 carrier || bad "turn $turn: no carrier with the link up"
	reach || bad "turn $turn: no answer to ping"
done
verdict "the carrier follows the link"

begin
for turn in 1 2 3; do
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind"
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/bind"
	configure || bad "turn $turn: no interface"
	reach || bad "turn $turn: no answer to ping"
done
verdict "the driver goes and comes"

# As the device goes, under traffic. It comes back under a name of its own.
begin
at_exit 'vdpa dev show net0 || vdpa dev add name net0 mgmtdev vduse'
for turn in 1 2 3; do
	ping -f -q "$PEER" >/dev/null 2>&1 &
	pid=$!
	nap 1
	timeout 60 vdpa dev del net0 || bad "turn $turn: the device doesn't go"
	kill $pid
	wait $pid 2>/dev/null
	[ ! -e "/sys/class/net/$NETIF" ] || bad "turn $turn: $NETIF is still there"
	vdpa dev add name net0 mgmtdev vduse || bad "turn $turn: the device doesn't come"
	VDEV=$(basename "$(echo /sys/devices/virtual/vduse/net0/net0/virtio*)")
	configure || bad "turn $turn: no interface"
	reach || bad "turn $turn: no answer to ping"
done
verdict "the device goes and comes"

begin
[[ $(device violations) == 0* ]] || bad "$(device violations)"
[ -s /run/testdev.log ] && bad "the device says: $(tail -3 /run/testdev.log)"
verdict "no rule of the specification was broken"
finish
