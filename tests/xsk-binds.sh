#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Sockets come and go a thousand times while frames come in, and their processes are killed while they receive and send: nothing is
# left of them, and everything else goes on. (ROUNDS in the environment.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

ROUNDS=${ROUNDS:-1000}
mark_log
plan $(($(modes | wc -w) * 3 + 1))
reach
attach to_socket || skip_all "$(said)"
watch_stack
pools_before=$(pools | wc -l)

# still_works WHAT: a new socket is at work, then the stack again.
still_works() {
	xsk_start "$mode" -w -q "$queues" echo "$NETIF" || bad "$1: $(xsk_said)"
	echoes 320 100 "$1"
	xsk_end
	socket_sound "$1"
	frames 320 100
	all_of "$1: in the stack" "${COUNT[seen]}" 320
	reach || bad "$1: no answer to ping"
	nothing_said
}

for kind in $(modes); do
	mode=$(option "$kind") queues=$(all_queues)

	begin
	sent=0
	"$XSK" -m "$MAP" "$mode" -w -q "$queues" -n "$ROUNDS" binds "$NETIF" >"$WORK/binds" 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		frames 400 60
		sent=$((sent + GOT[sent]))
	done
	[ "$kind" = zero ] && zero=$ROUNDS || zero=0
	grep -q "^bound $ROUNDS zc $zero\$" "$WORK/binds" || bad "$(cat "$WORK/binds")"
	note "$kind: bound $ROUNDS times under $sent frames"
	still_works "after $ROUNDS sockets"
	verdict "$kind: sockets come and go under a flow"

	begin
	# Each its own server, as one takes long to notice that its client was killed.
	[ "$kind" = zero ] && port=5202 || port=5203
	iperf_start -p $port -t 600 -R
	"$XSK" -m "$MAP" "$mode" -q "$queues" -n $((ROUNDS / 10)) binds "$NETIF" >"$WORK/binds" 2>&1 || bad "$(cat "$WORK/binds")"
	iperf_running || bad "TCP has ended: $(iperf_last)"
	kill "$IPERF_PID" 2>/dev/null
	if have_peer_service; then out=$(download 1000000 $RANDOM) || bad "$out"; fi
	still_works "beside TCP"
	verdict "$kind: sockets come and go beside TCP"

	begin
	for action in receive echo send; do
		for _ in 1 2 3 4 5; do
			xsk_start "$mode" -w -q "$queues" -n 1000000 -t 60 -d 02:76:6e:6d:00:02 $action "$NETIF" || bad "$action: $(xsk_said)"
			frames 200 60
			xsk_kill
		done
		still_works "$action was killed"
	done
	verdict "$kind: a process that is killed"
done

begin
detach
# What lets go of memory runs some time after the process is gone.
if have python3; then
	wait_for 20 eval '[ "$(pools | wc -l)" -le "$pools_before" ]' || bad "$(pools | wc -l) page pools instead of $pools_before"
	[ -z "$(lost_pools)" ] || bad "left: $(lost_pools | head -2)"
fi
rm -rf "$PINNED"
left() { bpftool map show | grep -E 'xskmap'; }
wait_for 20 eval '! left >/dev/null' || bad "still there: $(left | head -2)"
nothing_said
verdict "nothing is left behind"
finish
