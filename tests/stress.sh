#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Everything at once, by chance but repeatable: numbers of pairs, down and up, offloads, MTU, filters, statistics and CPUs
# change under traffic. SEED chooses the sequence, STEPS its length. In the end everything must work, and the kernel must
# have had nothing to say.
. "$(dirname "$0")/lib.sh"

SEED=${SEED:-1} STEPS=${STEPS:-150} LIMIT=${LIMIT:-$((60 * SLOW))}
RANDOM=$SEED
max=$(max_pairs) first=$(pairs) old_mtu=$(mtu)
at_exit configure
at_exit 'all_cpus_online; ip link set $NETIF promisc off mtu $old_mtu; ethtool -K $NETIF tx on sg on tso on gro on; set_pairs $first'
plan 3
reach
mark_log
note "SEED=$SEED STEPS=$STEPS"

# Traffic that comes again when a connection breaks: taking the interface down may do that.
traffic() {
	while :; do timeout 20 iperf3 -c "$PEER" -p "$1" -P 2 -t 15 -i 0 --connect-timeout 2000 "${@:2}"; sleep 0.3; done >/dev/null 2>&1
}
traffic 5203 &
t1=$!
traffic 5204 -R &
t2=$!
# Starts anew as well: it ends when the interface goes down.
while :; do ping -q -f -w 10 "$PEER"; sleep 0.3; done >/dev/null 2>&1 &
t3=$!

features=(tx sg tso gro rx-gro-hw tx-udp-segmentation)
cpus=($(removable_cpus))
begin
end=$((SECONDS + LIMIT))
steps=0
last=
for ((i = 0; i < STEPS; i++)); do
	[ $SECONDS -lt $end ] || break
	steps=$((steps + 1))
	r=$RANDOM x=$RANDOM
	case $((r % 10)) in
	0 | 1 | 2 | 3)
		last="combined $((x % max + 1))"
		set_pairs $((x % max + 1)) 2>"$WORK/err" || bad "step $i: $last: $(cat "$WORK/err")"
		;;
	4)
		last="down, up"
		ip link set "$NETIF" down || bad "step $i: down"
		((x % 3)) && set_pairs $((x % max + 1)) 2>/dev/null
		ip link set "$NETIF" up || bad "step $i: up"
		;;
	5 | 6)
		f=${features[x % ${#features[@]}]}
		on=$((x / 16 % 2))
		last="$f $on"
		# Refused where the device lacks it.
		ethtool -K "$NETIF" "$f" "$( ((on)) && echo on || echo off)" >/dev/null 2>&1
		;;
	7)
		last="MTU"
		ip link set "$NETIF" mtu $((1280 + x % (old_mtu - 1279))) || bad "step $i: MTU"
		;;
	8)
		last="promisc, ethtool"
		ip link set "$NETIF" promisc "$( ((x % 2)) && echo on || echo off)"
		ethtool -S "$NETIF" >/dev/null || bad "step $i: ethtool -S"
		ethtool -g "$NETIF" >/dev/null
		;;
	9)
		last="CPU"
		if [ ${#cpus[@]} -gt 0 ]; then
			c=${cpus[x % ${#cpus[@]}]}
			cpu_online "$c" $((1 - $(cat "/sys/devices/system/cpu/cpu$c/online"))) || bad "step $i: CPU $c"
		fi
		;;
	esac
	[ -e "/sys/class/net/$NETIF" ] || { bad "step $i ($last): the interface is gone"; break; }
done
note "$steps steps"
[ $steps -ge $((STEPS < 20 ? STEPS : 20)) ] || bad "only $steps of $STEPS steps in $LIMIT s"
verdict "each step works"

kill $t1 $t2 $t3
wait $t1 $t2 $t3 2>/dev/null
begin
all_cpus_online
ip link set "$NETIF" promisc off mtu "$old_mtu"
ethtool -K "$NETIF" tx on sg on tso on gro on >/dev/null 2>&1
ethtool -K "$NETIF" rx-gro-hw on >/dev/null 2>&1
ethtool -K "$NETIF" tx-udp-segmentation on >/dev/null 2>&1
configure || bad "the interface doesn't come up"
for ((n = 1; n <= max; n++)); do
	set_pairs $n 2>"$WORK/err" || bad "combined $n: $(cat "$WORK/err")"
	for c in $(online_cpus); do
		wait_for 10 taskset -c "$c" ping -q -c 3 -i 0.02 -W 2 "$PEER" >/dev/null || bad "$n pairs, CPU $c: no answer to ping"
	done
done
reach6 || bad "no answer to ping over IPv6"
iperf_start -p 5202 -P 4 --bidir -t 2
iperf_ok || bad "iperf3: $(iperf_last)"
if have_peer_service; then
	sum=$(blob "$WORK/blob" 4000000)
	out=$(upload "$WORK/blob" "$sum") || bad "$out"
	out=$(download 4000000 7) || bad "$out"
fi
[ "$(stat_sum 'tx[0-9]+_tx_timeouts')" = 0 ] || bad "a transmit queue was stuck"
verdict "everything works afterwards"

begin
while IFS= read -r l; do bad "$l"; done < <(log_problems)
verdict "the kernel's log is clean"
finish
