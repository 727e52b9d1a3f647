#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# When the device is told of packets. Answers to echo requests are sent in a softirq, in batches: the device may be told of
# a whole batch at once, but of none of it too late, so bursts must be answered to the last packet though nothing follows.
# What a process sends is given back even if no interrupt comes for it.
. "$(dirname "$0")/lib.sh"

BURSTS=${BURSTS:-5}
have_hostctl || skip_all "no hostctl: nobody to send bursts from"
reach
plan 4

begin
kicks=$(stat_sum 'tx[0-9]+_kicks') packets=$(stat_sum 'tx[0-9]+_packets')
asked=0
for size in 1 2 31 32 33 64 100; do
	for ((i = 0; i < BURSTS; i++)); do
		asked=$((asked + size))
		out=$(hostctl -t 60 host run="ping -q -c $size -l $size -W 5 $DUT_IP") || bad "burst of $size: ${out//$'\n'/ }"
		grep -q " $size received" <<<"$out" || bad "burst of $size: ${out//$'\n'/ }"
	done
done
verdict "bursts are answered to the last packet"

begin
wait_for 5 nothing_inflight || bad "$(inflight) bytes are still under way"
verdict "all answers were given back"

begin
if [ "$packets" ] && ours; then
	kicks=$(($(stat_sum 'tx[0-9]+_kicks') - kicks)) packets=$(($(stat_sum 'tx[0-9]+_packets') - packets))
	note "$asked answers, $packets packets, the device was told $kicks times"
	[ "$packets" -ge "$asked" ] || bad "$packets packets were sent for $asked requests"
	[ "$kicks" -le "$packets" ] || bad "$kicks notifications for $packets packets"
	verdict "no more notifications than packets"
else
	skip "no more notifications than packets" "$DRV doesn't count them"
fi

# From process context, one by one, so that nothing that comes later can help.
begin
for i in 1 2 3 4 5 6 7 8; do
	ping -q -c 1 -W 5 "$PEER" >/dev/null || bad "no answer to ping $i"
	wait_for 5 nothing_inflight || bad "after ping $i: $(inflight) bytes are still under way"
done
verdict "what a process sends is given back"
finish
