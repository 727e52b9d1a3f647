#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Sockets' memory that a device doesn't give back, whatever is tried, is given up: the socket is gone and never waited for, the log says
# so, nothing else is freed that the device may write to, and sockets can be bound again. (Taking it out of use is made to fail, in a
# module built with VNM_FAILPOINTS=1.) And sockets end while somebody else resets the device, or are bound, with a reset for each queue,
# just when the device is back from the last one. (ROUNDS in the environment.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xsk/lib.sh"

fail_at=/sys/module/virtio_net_mq/parameters/fail_at
[ -e "$fail_at" ] || skip_all "this module is built without VNM_FAILPOINTS=1"
at_exit 'echo 0 >$fail_at'
delay=${fail_at%/*}/delay_after_restore
at_exit 'echo 0 >$delay'
reset=$(readlink -f "/sys/class/net/$NETIF/device")/../reset
mark_log
plan 4
reach
attach to_socket || skip_all "$(said)"

starts() {
	xsk_start -z -w -q "$(all_queues)" echo "$NETIF" || bad "$1: $(xsk_said)"
	mode_is "zero copy"
}
back() { present && carrier; }

begin
if [ ! -e "$reset" ]; then
	skip "sockets end while the device is reset" "the function can't be reset"
else
	for ((i = 0; i < ${ROUNDS:-20}; i++)); do
		starts "turn $i"
		echo 1 >"$reset" &
		sleep 0.0$((RANDOM % 10))
		kill -KILL "$XSK_PID"
		wait
		XSK_PID=
		wait_for 20 back || bad "turn $i: the device doesn't come back"
		[ ${#_bad[@]} = 0 ] || break
	done
	reach || bad "no answer to ping"
	starts "afterwards"
	echoes 320 100 "afterwards"
	xsk_end
	socket_sound "afterwards"
	nothing_said
	verdict "sockets end while the device is reset"
fi

begin
if negotiated $RING_RESET; then
	skip "the device is reset again as it comes back" "this one isn't reset for sockets"
else
	# Longer than the next queue's socket takes.
	echo 500 >"$delay"
	for i in 1 2 3; do
		starts "turn $i"
		wait_for 20 back || bad "turn $i: the device doesn't come back: $(log_since | tail -2)"
		[ ${#_bad[@]} = 0 ] || { stacks; break; }
		echoes 320 100 "turn $i"
		xsk_end
		socket_sound "turn $i"
		wait_for 20 back || bad "turn $i: the device doesn't come back without sockets"
	done
	echo 0 >"$delay"
	reach || bad "no answer to ping"
	nothing_said
	verdict "the device is reset again as it comes back"
fi

begin
starts "before"
echoes 320 100 "before"
n=$(pairs)
echo -2 >"$fail_at"
kill -KILL "$XSK_PID"
wait "$XSK_PID" 2>/dev/null
XSK_PID=
wait_for 60 eval '[ "$(log_since | grep -c "the device keeps the memory of a pool")" = $n ]' ||
	bad "the log doesn't say so for each queue: $(log_since | tail -3)"
echo 0 >"$fail_at"
wait_for 60 back || bad "the device doesn't come back: $(log_since | tail -3)"
reach || bad "no answer to ping"
frames 320 100
[ "${GOT[back]}" = 0 ] || bad "${GOT[back]} came back without a socket"
nothing_said
verdict "memory that doesn't come back is given up"

begin
for i in 1 2 3; do
	starts "turn $i"
	echoes 320 100 "turn $i"
	xsk_end
	socket_sound "turn $i"
done
# It is that one pool alone.
log_since | grep "keeps the memory" >"$WORK/kept" && bad "$(head -1 "$WORK/kept")"
reach || bad "no answer to ping"
nothing_said
verdict "sockets are bound again"
finish
