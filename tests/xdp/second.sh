# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A second card of the driver under test, SECOND, which is the peer's NIC otherwise; and the two taps apart from each other.

# second_card: it comes from the namespace "peer" and its driver to here.
second_card() {
	local dev mac=52:54:00:12:34:57
	[ "$PEER_NS" ] || return 1
	at_exit second_back
	ip -n "$PEER_NS" link set eth0 down
	ip -n "$PEER_NS" link set eth0 name peer0 netns 1 || return 1
	dev=$(_by_mac $mac) || return 1
	if ours; then
		SECOND_VDEV=$(basename "$(readlink -f "/sys/class/net/$dev/device")")
		echo "$SECOND_VDEV" >/sys/bus/virtio/drivers/virtio_net/unbind
		echo "$SECOND_VDEV" >"/sys/bus/virtio/drivers/$DRV/bind"
		wait_for 10 eval 'SECOND=$(_by_mac '$mac')' || return 1
	else
		SECOND=$dev
	fi
	ip link set "$SECOND" up
}
# And back.
second_back() {
	local dev
	if ours; then
		echo "$SECOND_VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind"
		echo "$SECOND_VDEV" >/sys/bus/virtio/drivers/virtio_net/bind
	fi
	wait_for 10 eval 'dev=$(_by_mac 52:54:00:12:34:57)'
	ip link set "$dev" down
	ip link set "$dev" netns "$PEER_NS" name eth0
	ip -n "$PEER_NS" addr add "$PEER_NS_IP/24" dev eth0
	ip -n "$PEER_NS" link set eth0 up
}
_by_mac() {
	local d
	for d in /sys/class/net/*; do
		[ -e "$d/device" ] && [ "$(cat "$d/address")" = "$1" ] && { echo "${d##*/}"; return; }
	done
	return 1
}
# What one card sends the other one doesn't get by way of the host's bridge.
apart() { hostctl host run="ip link set tapA nomaster; ip link set tapB nomaster" >/dev/null; }
together() { hostctl host run="ip link set tapA master br0; ip link set tapB master br0" >/dev/null; }
