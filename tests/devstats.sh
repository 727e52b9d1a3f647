#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Statistics that the device keeps (VIRTIO_NET_F_DEVICE_STATS): ethtool -S has them, they are what the device says of
# itself, they follow the traffic and the number of pairs, and nothing is wrong with a reply.
. "$(dirname "$0")/lib.sh"

negotiated 50 || skip_all "the device keeps no statistics"
on_testdev || skip_all "not on the test device"
max=$(max_pairs) first=$(pairs)
plan 7
at_exit 'set_pairs $first'
mark_log
reach
stats() { ethtool -S "$NETIF" | sed -nE 's/^ *([a-z0-9_]+): ([0-9]+)$/\1 \2/p'; }
of() { awk -v n="$1" '$1 == n { print $2 }' "$WORK/stats"; }
count() { grep -cE "^$1 " "$WORK/stats"; }

begin
set_pairs "$max"
for ((n = 1; n <= max; n++)); do
	set_pairs $n
	stats >"$WORK/stats"
	for side in rx tx; do
		for c in packets bytes notifications interrupts drops; do
			[ "$(count "$side[0-9]+_hw_$c")" = $n ] || bad "$n pairs: $(count "$side[0-9]+_hw_$c") of ${side}N_hw_$c"
		done
	done
done
for c in rx0_hw_drop_overruns rx0_hw_csum_valid rx0_hw_needs_csum tx0_hw_drop_malformed tx0_hw_gso_packets_noseg \
	rx0_hw_ratelimit_bytes tx0_hw_ratelimit_bytes cq_hw_command_num cq_hw_ok_num hw_stats_errors; do
	[ "$(count $c)" = 1 ] || bad "no $c"
done
dup=$(cut -d' ' -f1 "$WORK/stats" | sort | uniq -d)
[ -z "$dup" ] || bad "more than once: $dup"
verdict "each pair has them"

# What the device says over its other way.
begin
quiet() {
	local a b=x
	for _ in 1 2 3 4 5 6 7 8; do
		a=$b b="$(if_stat tx_packets) $(if_stat rx_packets)"
		[ "$a" = "$b" ] && return
		sleep 0.3
	done
}
same() {
	local q s c want
	quiet
	_bad=()
	stats >"$WORK/stats"
	for ((q = 0; q < $(pairs); q++)); do
		for s in rx tx; do
			for c in packets bytes; do
				want=$(dev stat $s$q.$c)
				[ "$(of $s${q}_hw_$c)" = "$want" ] || bad "$s${q}_hw_$c is $(of $s${q}_hw_$c), the device says $want"
			done
		done
	done
	[ ${#_bad[@]} = 0 ]
}
# A packet may come in between.
wait_for 60 same
stats >"$WORK/stats"
for c in $(cut -d' ' -f1 "$WORK/stats" | grep -E '^(rx|tx)0_hw_'); do
	t=${c/0_/_}
	want=$(awk -v re="^${c%%0_*}[0-9]+_${c#*_}\$" '$1 ~ re { s += $2 } END { printf "%d\n", s }' "$WORK/stats")
	[ "$(of "$t")" = "$want" ] || bad "$t is $(of "$t"), the sum is $want"
done
had=$(of tx_hw_packets) one=$(of tx0_hw_packets)
if ours && [ "$max" -gt 1 ]; then
	set_pairs 1
	[ "$(stat tx_hw_packets)" -ge "$had" ] || bad "tx_hw_packets was $had ($one of the first pair), with one pair $(stat tx_hw_packets)"
	set_pairs "$max"
fi
verdict "they are what the device has counted, and so are the sums"

begin
for ((q = 0; q < max; q++)); do
	had=$(stat rx${q}_hw_packets)
	dev gen 20 500 $q 9999 || bad "the device can't send"
	more() { [ $(($(stat rx${q}_hw_packets) - had)) -ge 20 ]; }
	wait_for 10 more || bad "pair $q received 20 datagrams, rx${q}_hw_packets grew by $(($(stat rx${q}_hw_packets) - had))"
done
verdict "receiving counts, on the queue that it is on"

begin
had=$(stat_sum 'tx[0-9]+_hw_packets')
ping -q -c 20 -i 0.01 "$PEER" >/dev/null
[ $(($(stat_sum 'tx[0-9]+_hw_packets') - had)) -ge 20 ] || bad "20 packets sent, the sum grew by $(($(stat_sum 'tx[0-9]+_hw_packets') - had))"
a=$(stat cq_hw_command_num)
b=$(stat cq_hw_command_num)
[ "$b" -gt "$a" ] || bad "cq_hw_command_num was $a and is $b"
verdict "sending and commands count"

begin
if have python3; then
	qstats() { python3 "$HERE/qstats.py" "$NETIF" "$@"; }
	set_pairs "$max"
	reach
	qstats queue >"$WORK/q" || bad "qstats: $(tail -1 "$WORK/q")"
	for ((q = 0; q < max; q++)); do
		for c in hw-drops hw-drop-overruns csum-none hw-gro-wire-packets hw-drop-ratelimits; do
			grep -q "^rx $q $c " "$WORK/q" || bad "rx $q has no $c"
		done
		for c in hw-drops hw-drop-errors csum-none needs-csum hw-gso-packets hw-gso-wire-bytes hw-drop-ratelimits; do
			grep -q "^tx $q $c " "$WORK/q" || bad "tx $q has no $c"
		done
	done
	# The sum doesn't go back when pairs go out of use. Each has received by now, and sends something.
	sum() { qstats | awk -v n="$1" '$3 == n { print $4 }'; }
	for c in $(online_cpus); do answered 4 "$c" -i 0.01 -W 5 "$PEER" || bad "CPU $c: no answer to ping"; done
	qstats queue >"$WORK/q"
	for c in rx-csum-unnecessary tx-csum-none; do
		own=$(awk -v s="${c%%-*}" -v c="${c#*-}" '$1 == s && $2 == 0 && $3 == c { print $4 }' "$WORK/q") had=$(sum $c)
		[ "${had:-0}" -gt "${own:-0}" ] || bad "$c: ${own:-none} of the first pair, ${had:-none} of all"
		set_pairs 1
		[ "$(sum $c)" -ge "${had:-0}" ] || bad "$c was $had, with one pair $(sum $c)"
		set_pairs "$max"
	done
	verdict "netlink has them, too"
else
	skip "netlink has them, too" "no Python in this guest"
fi

begin
[ "$(stat hw_stats_errors)" = 0 ] || bad "hw_stats_errors is $(stat hw_stats_errors)"
[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
verdict "no reply was wrong"

begin
if ours; then
	set_pairs "$max"
	had=$(if_stat rx_packets)
	# Class 8: the counters, then everything.
	for what in "8 1" 8; do
		errors=$(stat hw_stats_errors)
		# shellcheck disable=SC2086
		dev refuse $what
		stats >"$WORK/stats" || bad "ethtool -S failed ($what refused)"
		[ "$(count 'rx[0-9]+_hw_packets')" = "$max" ] || bad "$(count 'rx[0-9]+_hw_packets') of rxN_hw_packets ($what refused)"
		[ "$(of rx0_hw_packets)" = 0 ] || bad "rx0_hw_packets is $(of rx0_hw_packets) ($what refused)"
		[ "$(of hw_stats_errors)" -gt "$errors" ] || bad "hw_stats_errors is still $errors ($what refused)"
		[ "$(if_stat rx_packets)" -ge "$had" ] || bad "rx_packets was $had, is $(if_stat rx_packets)"
		dev refuse
	done
	log_since | grep -q 'device statistics: .* refused' || bad "the log has no word of it"
	reach || bad "no answer to ping"
	[ "$(stat rx0_hw_packets)" -gt 0 ] || bad "rx0_hw_packets is 0 afterwards"
	[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
	verdict "what the device refuses is counted, the rest goes on"
else
	skip "what the device refuses is counted, the rest goes on" "not this driver"
fi
finish
