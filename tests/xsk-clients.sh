#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# xdp-bench of xdp-tools, which has its sockets made by libxdp: receiving and sending, in each mode, with and without need_wakeup.
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

have xdp-bench || skip_all "there is no xdp-bench"
N=${N:-2000}
mark_log
plan $(($(modes | wc -w) * 2))
reach

# bench COMMAND ARGUMENTS: starts it; returns once its program and its socket are there.
bench() {
	xdp-bench "$@" >"$WORK/bench" 2>&1 &
	BENCH=$!
	wait_for 20 eval '{ [ "$(attached)" ] && ss -H --xdp | grep -q .; } || ! kill -0 $BENCH 2>/dev/null'
	nap 1
	kill -0 $BENCH 2>/dev/null || bad "xdp-bench $*: $(tail -3 "$WORK/bench")"
}
bench_end() {
	kill -INT $BENCH 2>/dev/null
	wait_for 20 eval '! kill -0 $BENCH 2>/dev/null' || { kill -KILL $BENCH; bad "it doesn't end"; }
	wait $BENCH 2>/dev/null
	if [ "$(attached)" ]; then bad "its program is left"; detach; fi
	reach || bad "no answer to ping"
	nothing_said
}

# It takes one queue.
first_pairs=$(pairs)
at_exit 'set_pairs $first_pairs'
set_pairs 1

for kind in $(modes); do
	[ $kind = zero ] && mode=zero-copy || mode=copy

	for command in xsk-drop xsk-tx; do
		begin
		[ $command = xsk-drop ] && ways=("" "--no-need-wakeup" "--busy-poll") || ways=("" "--poll" "--frame-size 2048")
		for more in "${ways[@]}"; do
			back='' nudge=''
			[ $command = xsk-drop ] || back=back=$N
			# shellcheck disable=SC2086  # several words, or none
			bench $command -C $mode $more -i 1 "$NETIF"
			# Without copies it never asks for its last frames to be sent, which then wait for the next packet that comes.
			if [ "$back" ]; then
				ping -q -i 0.3 -w 120 "$PEER" >/dev/null 2>&1 &
				nudge=$!
			fi
			# shellcheck disable=SC2086  # nothing, perhaps
			frames "$N" 60 $back
			[ ! "$nudge" ] || { kill $nudge; wait $nudge 2>/dev/null; }
			[ ! "$back" ] || came_back "$N" 60
			[ ${#_bad[@]} = 0 ] || note "$command $more: $(tail -3 "$WORK/bench" | tr -s ' \n' ' ;')"
			bench_end
			got=$(grep -oE 'RX +[0-9,]+ pkts' "$WORK/bench" | tail -1 | tr -cd 0-9)
			[ "${got:-0}" -ge "$N" ] || bad "$more: ${got:-0} of $N received: $(tail -3 "$WORK/bench" | tr -s ' \n' ' ;')"
		done
		verdict "$kind: xdp-bench $command"
	done
done
finish
