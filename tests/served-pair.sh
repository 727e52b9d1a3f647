#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Another program serves the cards of two guests and is the wire between them: packets of all lengths, TCP and UDP pass both ways, as
# both change the number of their pairs, and segmentation and merging is done by whom was told to.
. "$(dirname "$0")/lib.sh"

far() { hostctl partner run="$*"; }
far : >/dev/null 2>&1 || skip_all "there is no second guest"
max=$(max_pairs)
plan 6
mark_log
at_exit "set_pairs $max"
at_exit 'far "ethtool -L \$NETIF combined $max"'


begin
[ "$max" = "$QUEUES" ] || bad "$max pairs, the program has $QUEUES"
[ "$(far 'ethtool -l $NETIF' | grep -o 'Combined: *[0-9]*' | grep -o '[0-9]*' | tr '\n' ' ')" = "$max $max " ] ||
	bad "there: $(far 'ethtool -l $NETIF')"
reach || bad "no answer to ping"
reach6 || bad "no answer to ping by IPv6"
verdict "two guests meet"

begin
want=off
[[ " $BACKEND " != *" tso "* ]] || want=on
for name in tcp-segmentation-offload tx-checksumming; do
	[ "$(feature $name)" != "$want" ] && [ "$name" = tcp-segmentation-offload ] && bad "$name is $(feature $name), not $want"
	note "$name: $(feature $name)"
done
verdict "segmentation is what the program has: $want"

begin
for cpu in $(online_cpus); do
	answered 500 "$cpu" -f "$PEER" || bad "pings from CPU $cpu are lost"
	answered 50 "$cpu" -i 0.02 -s 8000 "$PEER" || bad "pings in several fragments from CPU $cpu are lost"
done
for len in 1 17 18 19 64 100 500 1400 1471 1472 1473 3000; do
	answered 20 -i 0.01 -s "$len" "$PEER" || bad "pings of $len bytes are lost"
done
if [ ${#_bad[@]} -gt 0 ]; then
	note "here: $(stat_sum '.*drop.*') dropped, $(queue_packets tx "$max")sent, $(queue_packets rx "$max")received"
	note "there: $(far 'ethtool -S $NETIF' | grep -oE '[a-z0-9_]*(drop|[0-9]_packets)[a-z_]*: [1-9][0-9]*' | tr '\n' ' ')"
fi
verdict "packets of all lengths"

begin
for way in "" -R; do
	iperf_start -t 5 -P 4 $way
	iperf_ok || bad "TCP ${way:-there}: $(tail -1 "$IPERF_LOG")"
	note "TCP ${way:-there}: $(iperf_last)"
	iperf_start -t 3 -u -b 20M -l 1200 $way
	iperf_ok || bad "UDP ${way:-there}: $(tail -1 "$IPERF_LOG")"
	note "UDP ${way:-there}: $(iperf_last)"
done
verdict "TCP and UDP both ways"

begin
sum() { stat_sum "$1[0-9]*_gso_packets"; }
far_sum() { far 'ethtool -S $NETIF' | grep -oE "$1[0-9]*_gso_packets: [0-9]+" | awk '{ s += $2 } END { print s + 0 }'; }
if ours && [ "$(stat tx0_packets)" ]; then
	tx=$(sum tx) rx=$(sum rx) ftx=$(far_sum tx) frx=$(far_sum rx)
	for way in "" -R; do iperf_start -t 4 $way; iperf_ok || bad "TCP: $(tail -1 "$IPERF_LOG")"; done
	tx=$(($(sum tx) - tx)) rx=$(($(sum rx) - rx)) ftx=$(($(far_sum tx) - ftx)) frx=$(($(far_sum rx) - frx))
	note "packets of several segments: sent $tx here, $ftx there, received $rx here, $frx there"
	if [ $want = on ]; then
		[ $tx -gt 0 ] && [ $frx -gt 0 ] || bad "none from here: $tx sent, $frx received there"
		[ $ftx -gt 0 ] && [ $rx -gt 0 ] || bad "none from there: $ftx sent, $rx received here"
	else
		[ "$tx $rx $ftx $frx" = "0 0 0 0" ] || bad "some, without segmentation by the device"
	fi
fi
verdict "who makes segments"

begin
for way in "" -R; do
	iperf_start -t 12 -P 2 $way
	sleep 1
	while iperf_running; do
		for n in 1 "$max"; do
			set_pairs "$n" || bad "$n pairs were refused"
			# testpmd has each pair meet the same one of the other side.
			far "ethtool -L \$NETIF combined $n" >/dev/null
			nap 0.5
		done
	done
	iperf_ok || bad "TCP ended: $(tail -1 "$IPERF_LOG")"
done
set_pairs "$max"
far "ethtool -L \$NETIF combined $max" >/dev/null
reach || bad "no answer to ping"
log_problems >"$WORK/splat"
[ ! -s "$WORK/splat" ] || bad "the kernel complains: $(head -3 "$WORK/splat")"
verdict "TCP goes on as both change the number of their pairs"
finish
