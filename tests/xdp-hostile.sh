#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What hostile.sh does, with a program in the driver all the time, PROGRAM in the environment: by itself one that judges by chance,
# so that the device's odd packets are dropped, sent back, redirected, moved about in their buffers, and given to the stack.
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

PROGRAM=${PROGRAM:-by_chance}
# Before the interface comes up, wherever hostile.sh has it come up. Devices that lack what it takes are refused, others may not answer.
ip() {
	if [ "$*" = "link set $NETIF up" ]; then
		put ports 0 "$(<"/sys/class/net/$NETIF/ifindex")"
		attach "$PROGRAM"
	fi
	command ip "$@"
}
. "$HERE/hostile.sh"
