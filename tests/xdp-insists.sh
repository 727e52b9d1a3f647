#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device that merges packets and can't be told not to doesn't come up again without the features for that, when a program comes: it
# gets all of them back, what it merges is dropped as long as the program is there, and all else goes on. With the next program it
# is asked again. (A step of the reset is made to fail, in a module built with VNM_FAILPOINTS=1.)
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

fail_at=/sys/module/virtio_net_mq/parameters/fail_at
[ -e "$fail_at" ] || skip_all "this module is built without VNM_FAILPOINTS=1"
[ "$MERGES" ] || skip_all "the device merges no packets, or can be told not to"
at_exit 'echo 0 >$fail_at'
delay=${fail_at%/*}/delay_after_restore
at_exit 'echo 0 >$delay'
mark_log
plan 4
reach

merged() { stat_sum 'rx[0-9]+_gso_packets'; }
dropped() { stat_sum 'rx[0-9]+_xdp_drop_merged'; }
is_merged() {
	local before out
	before=$(merged)
	out=$(download 4000000 $RANDOM) || bad "$out"
	[ "$(merged)" -gt "$before" ] || bad "the device merges nothing"
}

begin
echo 1 >"$fail_at"
# Not what waits for the end of merging.
command ip -force link set dev "$NETIF" xdpdrv pinned "$PINNED/progs/pass" 2>"$WORK/said" || bad "$(said)"
wait_for 10 eval '[ "$(cat $fail_at)" = -1 ]' || bad "no step was reached"
wait_for 10 eval 'log_since | grep -q "merges packets for good"' || bad "the log doesn't say so: $(log_since | tail -3)"
wait_for 20 eval 'present && merges && carrier' || bad "the device doesn't come back with all features"
id=$(attached)
[ "$id" ] || bad "the program is gone"
reach || bad "no answer to ping"
frames 200 100
all_of judged "${COUNT[judged]}" 200
nothing_said
verdict "the device gets its features back"

begin
before=$(dropped)
# TCP gets through by what isn't merged, slowly, if at all.
printf 'SEND 400000 7\n' | timeout 20 socat -t 10 - "TCP:$PEER:7000" >/dev/null 2>&1
[ "$(dropped)" -gt "$before" ] || bad "nothing that was merged was dropped"
note "$(($(dropped) - before)) merged packets were dropped"
resets=$(log_since | grep -c "resetting the device")
command ip -force link set dev "$NETIF" xdpdrv pinned "$PINNED/progs/tx" 2>"$WORK/said" || bad "$(said)"
[ "$(attached)" != "$id" ] || bad "the program wasn't exchanged"
frames 160 100 back=160
came_back 160 100
[ "$(log_since | grep -c "resetting the device")" = "$resets" ] || bad "the device was reset again"
merges || bad "it doesn't merge any more"
nothing_said
verdict "what is merged is dropped, the program is at work"

begin
command ip link set dev "$NETIF" xdpdrv off || bad "it stays"
sleep 1
merges && present || bad "the device was reset for nothing"
is_merged
attach drop || bad "$(said)"
! merges || bad "it wasn't asked again"
frames 200 100
all_of judged "${COUNT[judged]}" 200
detach || bad "$(said)"
is_merged
nothing_said
verdict "the next program asks again"

# The kernel resets the function, and the virtio core isn't through with that yet when a program comes.
reset=$(readlink -f "/sys/class/net/$NETIF/device")/../reset
begin
if ! ours || [ ! -w "$reset" ]; then
	skip "the virtio core ends its reset first" "the function can't be reset"
else
	# Longer than it takes to see the device and to attach a program.
	echo $((6000 * SLOW)) >"$delay"
	for i in 1 2 3 4 5; do
		rm -f "$WORK/over"
		(echo 1 >"$reset"; touch "$WORK/over") &
		# It is away for a moment only, which a busy machine may miss.
		wait_for 20 eval '! present || [ -e "$WORK/over" ]'
		wait_for 20 eval 'present && carrier' || bad "the device doesn't come back"
		[ -e "$WORK/over" ] || break
		wait
	done
	command ip -force link set dev "$NETIF" xdpdrv pinned "$PINNED/progs/pass" 2>"$WORK/said" || bad "$(said)"
	[ ! -e "$WORK/over" ] || bad "the reset was over before the program came"
	wait_for 20 eval '[ -e "$WORK/over" ] || ! merges'
	[ -e "$WORK/over" ] || bad "the device was reset again before the core was through with it"
	echo 0 >"$delay"
	wait
	wait_for 20 eval '! merges && present && carrier' || bad "the device wasn't asked to stop merging: $(log_since | tail -3)"
	detach || bad "$(said)"
	is_merged
	nothing_said
	verdict "the virtio core ends its reset first"
fi
finish
