#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What hostile.sh does, with a program in the driver all the time, PROGRAM in the environment: by itself one that judges by chance,
# so that the device's odd packets are dropped, sent back, redirected, moved about in their buffers, and given to the stack. Where
# the device misbehaves with commands it goes and comes meanwhile, which takes some.
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

PROGRAM=${PROGRAM:-by_chance}
CTRL_GUEST_OFFLOADS=2
# Before the interface comes up, wherever hostile.sh has it come up. Devices that lack what it takes are refused, others may not answer.
ip() {
	local status
	if [ "$*" = "link set $NETIF up" ]; then
		put ports 0 "$(<"/sys/class/net/$NETIF/ifindex")"
		attach "$PROGRAM"
	fi
	command ip "$@"
	status=$?
	# Not where it means a reset each time: QEMU ends if the device tells of a change just then.
	if [ "$*" = "link set $NETIF promisc on" ] && negotiated $CTRL_GUEST_OFFLOADS; then
		# Of the log's complaints, because this runs beside the test. A program goes whatever the device says.
		! ours || command ip link set dev "$NETIF" xdpdrv off || [ ! -e "/sys/class/net/$NETIF" ] ||
			echo "WARNING: $NETIF keeps its program" >/dev/kmsg
		ours || command ip link set dev "$NETIF" xdpdrv off
		attach "$PROGRAM"
	fi
	return $status
}
. "$HERE/hostile.sh"
