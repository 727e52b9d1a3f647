#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Another program serves the card's queues. It is ended by its users, or killed, under traffic, and comes again: meanwhile there is
# no carrier, then it is there by itself, and traffic goes on without a reset of the device; between two guests TCP connections do, and
# contents arrive as sent.
. "$(dirname "$0")/lib.sh"

[ "$BACKEND" ] || skip_all "QEMU serves this card"
ROUNDS=${ROUNDS:-quit kill quit kill}
# Megabytes, each way: more than passes in two seconds.
MB=${MB:-150}
max=$(max_pairs)
# shellcheck disable=SC2086  # words
set -- $ROUNDS
plan $(($# + 1))
mark_log
at_exit 'hostctl backend run=up'
# The other guest has TCP, an echo of pings hasn't.
tcp() { hostctl partner run=: >/dev/null 2>&1; }
if tcp; then
	have_peer_service || skip_all "qemu-test/peer.py doesn't run there, or socat is missing"
	sum=$(blob "$WORK/blob" $((MB << 20)))
fi
# testpmd has each pair meet the same one of the other side.
far_pairs() { ! tcp || hostctl partner run="ethtool -L \$NETIF combined $1" >/dev/null; }
# Both ways at once; each says what is wrong.
begin_transfers() {
	upload "$WORK/blob" "$sum" >"$WORK/up" 2>&1 &
	UP=$!
	printf 'SEND %s %s\n' $((MB << 20)) "$1" | socat -t 60 -b 65536 - "TCP:$PEER:7000" 2>"$WORK/down" | sha256sum >"$WORK/sum" &
	DOWN=$!
}
end_transfers() {
	local want
	wait $UP || bad "sent: $(tail -1 "$WORK/up")"
	wait $DOWN
	want=$(peer_request HASH $((MB << 20)) "$1")
	[ "$(cut -d' ' -f1 "$WORK/sum")" = "$want" ] || bad "received has checksum $(cut -d' ' -f1 "$WORK/sum"), sent has $want: $(tail -1 "$WORK/down")"
}

n=0
for how; do
	n=$((n + 1))
	begin
	if tcp; then
		begin_transfers $n
	else
		ping -q -f -s 1000 "$PEER" >/dev/null &
		PING=$!
	fi
	sleep 2
	hostctl backend run="$how" || bad "it doesn't end"
	! tcp || { kill -0 $UP && kill -0 $DOWN; } 2>/dev/null || bad "a transfer was over before"
	wait_for 10 no_carrier || bad "there still is a carrier without it"
	# Commands are QEMU's.
	if [ $((n % 2)) = 0 ]; then
		set_pairs 1 || bad "one pair was refused meanwhile"
		far_pairs 1
	fi
	hostctl backend run=up || bad "it doesn't come again"
	wait_for 60 carrier || bad "no carrier with the new one"
	# The other guest's port may come later.
	wait_for 60 ping -q -c 1 -W 1 "$PEER" >/dev/null 2>&1 || bad "no answer to ping"
	if tcp; then
		end_transfers $n
	else
		kill -INT $PING
		wait $PING
	fi
	set_pairs "$max" || bad "$max pairs were refused"
	far_pairs "$max"
	for cpu in $(online_cpus); do answered 20 "$cpu" -i 0.05 "$PEER" || bad "pings from CPU $cpu are lost"; done
	verdict "it is gone and comes again under traffic: $how"
done

begin
log_since | grep -E 'stuck|resetting|NETDEV WATCHDOG' >"$WORK/resets"
if [[ $BACKEND == ovs* ]]; then
	# It serves nobody for some seconds as it comes (guests.toml): there may be a reset for that, and no more.
	[ "$(grep -c resetting "$WORK/resets")" -le $# ] || bad "$(grep -c resetting "$WORK/resets") resets: $(tail -3 "$WORK/resets")"
	log_problems | grep -v 'NETDEV WATCHDOG' >"$WORK/splat"
else
	[ ! -s "$WORK/resets" ] || bad "$(head -3 "$WORK/resets")"
	log_problems >"$WORK/splat"
fi
[ ! -s "$WORK/splat" ] || bad "the kernel complains: $(head -3 "$WORK/splat")"
verdict "nothing is reset without need, the kernel has nothing to complain of"
finish
