#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Another program serves the card's queues. It is ended by its users, or killed, under traffic, and comes again: meanwhile there is
# no carrier, then it is there by itself, and traffic goes on without a reset of the device.
. "$(dirname "$0")/lib.sh"

[ "$BACKEND" ] || skip_all "QEMU serves this card"
ROUNDS=${ROUNDS:-quit kill quit kill}
max=$(max_pairs)
# shellcheck disable=SC2086  # words
set -- $ROUNDS
plan $(($# + 1))
mark_log
at_exit 'hostctl backend run=up'
# The other guest has TCP, an echo of pings hasn't.
tcp() { hostctl partner run=: >/dev/null 2>&1; }

n=0
for how; do
	n=$((n + 1))
	begin
	if tcp; then
		iperf_start -t 25 -P 4 $([ $((n % 2)) = 0 ] && echo -R)
	else
		ping -q -f -s 1000 "$PEER" >/dev/null &
		PING=$!
	fi
	sleep 2
	hostctl backend run="$how" || bad "it doesn't end"
	wait_for 10 no_carrier || bad "there still is a carrier without it"
	# Commands are QEMU's.
	[ $((n % 2)) = 1 ] || set_pairs 1 || bad "one pair was refused meanwhile"
	hostctl backend run=up || bad "it doesn't come again"
	wait_for 60 carrier || bad "no carrier with the new one"
	reach || bad "no answer to ping"
	if tcp; then
		iperf_ok || bad "the connections ended: $(tail -1 "$IPERF_LOG")"
		note "$how: $(iperf_last)"
	else
		kill -INT $PING
		wait $PING
	fi
	set_pairs "$max" || bad "$max pairs were refused"
	for cpu in $(online_cpus); do from_cpu "$cpu" -i 0.05 -c 20 "$PEER" || bad "pings from CPU $cpu are lost"; done
	verdict "it is gone and comes again under traffic: $how"
done

begin
log_since | grep -E 'stuck|resetting|NETDEV WATCHDOG' >"$WORK/resets"
[ ! -s "$WORK/resets" ] || bad "$(head -3 "$WORK/resets")"
log_problems >"$WORK/splat"
[ ! -s "$WORK/splat" ] || bad "the kernel complains: $(head -3 "$WORK/splat")"
verdict "nothing was reset, the kernel has nothing to complain of"
finish
