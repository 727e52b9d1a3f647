#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device that looks at its transmit queues by itself and wants no notification. What a process sends one packet at a time is
# left to a timer at first: it is given back all the same, though nothing follows, and also where the queue goes away meanwhile.
. "$(dirname "$0")/lib.sh"

[[ " $TESTDEV " == *" polls="* ]] || skip_all "the device doesn't look at its queues by itself"
reach
plan 4
mark_log

# datagrams N: that many, one at a time, to a port that nobody has.
datagrams() { for ((i = 0; i < $1; i++)); do echo "$i" >&7; done 2>/dev/null; }
exec 7>/dev/udp/"$PEER"/9

begin
for i in 1 2 3 4 5 6 7 8 9; do
	datagrams "$i"
	wait_for 5 nothing_inflight || bad "$(inflight) bytes of $i datagrams are still under way"
done
verdict "what a process sends is given back, though nothing follows"

begin
kicks=$(stat_sum 'tx[0-9]+_kicks') packets=$(stat_sum 'tx[0-9]+_packets')
datagrams 500
wait_for 5 nothing_inflight || bad "$(inflight) bytes are still under way"
if ours; then
	kicks=$(($(stat_sum 'tx[0-9]+_kicks') - kicks)) packets=$(($(stat_sum 'tx[0-9]+_packets') - packets))
	# A refusal that comes back fails the next write.
	[ "$packets" -ge 250 ] || bad "$packets packets of 500 were sent"
	[ "$kicks" -le 10 ] || bad "the device was notified $kicks times"
fi
verdict "the device isn't notified"

begin
for ((n = 0; n < 20; n++)); do
	datagrams 3
	ip link set "$NETIF" down
	ip link set "$NETIF" up
done
reach
wait_for 5 nothing_inflight || bad "$(inflight) bytes are still under way"
verdict "queues go while packets wait for the timer"

begin
iperf=$(iperf3 -c "$PEER" -p 5201 -t 2 -u -b 20M -l 200 2>&1) || bad "${iperf//$'\n'/ }"
wait_for 5 nothing_inflight || bad "$(inflight) bytes are still under way"
problems=$(log_problems) && [ "$problems" ] && bad "${problems//$'\n'/ }"
verdict "a stream of datagrams is given back"
finish
