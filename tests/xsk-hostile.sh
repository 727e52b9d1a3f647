#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What hostile.sh does, with a socket on each queue that sends back what it gets, and a program that judges by chance: the device's odd
# packets and completions meet the sockets' buffers, and with zero copy the device itself reads and writes those.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

[ "$ZC" = yes ] && SOCKETS=-z || SOCKETS=-c
# How sockets wait: by looking all the time, or with -p asleep.
HOW=${HOW:--w}
at_exit 'read -r _ pid <"$WORK/sockets" && kill -KILL "$pid"'
# Wherever hostile.sh has the interface come up, which it does in a process of its own, the program comes before and sockets come
# after, if those of before are gone with the interface. A device that doesn't work may take none.
ip() {
	local rc now was pid
	if [ "$*" != "link set $NETIF up" ]; then
		command ip "$@"
		return
	fi
	now=$(<"/sys/class/net/$NETIF/ifindex")
	put ports 0 "$now"
	attach by_chance
	command ip "$@"
	rc=$?
	read -r was pid 2>/dev/null <"$WORK/sockets"
	if [ "$was" != "$now" ] || ! kill -0 "$pid" 2>/dev/null; then
		[ ! "$pid" ] || kill -KILL "$pid" 2>/dev/null
		"$XSK" -m "$MAP" $SOCKETS $HOW -q "$(all_queues)" echo "$NETIF" >>"$WORK/bound" 2>&1 &
		echo "$now $!" >"$WORK/sockets"
	fi
	return $rc
}
# One more than hostile.sh has: sockets were there.
eval "$(declare -f plan finish | sed -E 's/^(plan|finish) /\1_of /')"
plan() { plan_of $(($1 + 1)); }
finish() {
	local n
	begin
	[ $SOCKETS = -z ] && n=$(grep -c "^ready zero copy" "$WORK/bound") || n=$(grep -c "^ready copy" "$WORK/bound")
	[ "$n" -gt 0 ] || bad "no sockets were bound: $(sort "$WORK/bound" | uniq -c | head -5)"
	note "sockets were bound $n times"
	verdict "sockets"
	finish_of
}
. "$HERE/hostile.sh"
