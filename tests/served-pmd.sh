#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# DPDK's testpmd serves the card: it echoes pings, generates packets, swallows them, and sends back what it gets. Both sides count
# the same, on all queues, also while the number of pairs changes.
. "$(dirname "$0")/lib.sh"

[[ $BACKEND == testpmd* ]] || skip_all "testpmd doesn't serve this card"
N=${N:-3000}
max=$(max_pairs)
cpus=$(online_cpus)
plan 7
mark_log
at_exit "set_pairs $max"
at_exit 'pmd stop; pmd set fwd icmpecho; pmd start'

pmd() { hostctl backend run="$*"; }
# mode MODE: what it does with packets from now on.
mode() {
	pmd stop >"$WORK/pmd"
	pmd set fwd "$1" >"$WORK/pmd" || bad "it doesn't know $1: $(tail -1 "$WORK/pmd")"
	pmd start >"$WORK/pmd" || bad "it doesn't start: $(tail -1 "$WORK/pmd")"
}
# theirs rx|tx: packets that it has counted; mine rx|tx: those of the driver, of all queues; reset to what is counted now by zero.
theirs() { pmd show port stats 0 | awk -v what="${1^^}-packets:" '{ for (i = 1; i < NF; i++) if ($i == what) print $(i + 1) }'; }
mine() { stat_sum "$1[0-9]+_packets"; }
# While it looks nothing may be on its way, a router solicitation for example: that would count on one side only.
zero() {
	local try
	for try in {1..50}; do
		rx=$(mine rx) tx=$(mine tx)
		THEIR_RX=$(theirs rx) THEIR_TX=$(theirs tx)
		nap 0.2
		[ "$(mine rx) $(mine tx)" = "$rx $tx" ] && return
	done
	bad "packets come and go by themselves"
}
counts() {
	RX=$(($(mine rx) - rx)) TX=$(($(mine tx) - tx))
	GOT=$(($(theirs rx) - THEIR_RX)) SENT=$(($(theirs tx) - THEIR_TX))
}
both() { counts; [ $TX = $GOT ] && [ $RX = $SENT ]; }
same() { # AT-LEAST-SENT AT-LEAST-RECEIVED
	wait_for 20 both || bad "sent $TX, testpmd received $GOT; testpmd sent $SENT, received $RX"
	[ "$TX" -ge "$1" ] || bad "only $TX packets sent"
	[ "$RX" -ge "$2" ] || bad "only $RX packets received"
	note "sent $TX, received $RX"
}
# Each queue has had some of what came since `had`, rx or tx.
on_each() {
	local i now
	read -ra now < <(queue_packets "$1" "$max")
	for ((i = 0; i < max; i++)); do [ "${now[i]}" -gt "${had[i]}" ] || bad "nothing on $1 queue $i"; done
}
# Pairs come and go until there is nobody left of the processes given.
switch_while() {
	local n=0 p left=1
	while [ $left = 1 ]; do
		set_pairs $((n++ % max + 1)) || bad "a number of pairs was refused"
		left=0
		for p; do kill -0 "$p" 2>/dev/null && left=1; done
		nap 0.1
	done
	set_pairs "$max"
	# How often there were fewer than before.
	FEWER=$((n / max + 1))
	[ $n -gt 3 ] || bad "the number of pairs changed $n times only"
}
# send BYTES-OF-A-DATAGRAM: N of them from each CPU, to somebody who exists on paper only.
send() {
	local cpu
	ip neigh replace 192.0.2.77 lladdr 52:54:00:00:00:77 dev "$NETIF"
	SENDERS=()
	for cpu in $cpus; do
		taskset -c "$cpu" socat -u -b "$1" SYSTEM:"head -c $(($1 * N)) /dev/zero" UDP:192.0.2.77:9 &
		SENDERS+=($!)
	done
}

begin
[ "$max" = "$QUEUES" ] || bad "$max pairs, the process has $QUEUES"
verdict "there are as many pairs as testpmd has"

begin
zero
read -ra had < <(queue_packets tx "$max")
for cpu in $cpus; do
	answered 500 "$cpu" -f "$PEER" || bad "pings from CPU $cpu were lost"
	answered 100 "$cpu" -i 0.01 -s 1400 "$PEER" || bad "longer pings from CPU $cpu were lost"
done
same $((600 * $(wc -w <<<"$cpus"))) $((600 * $(wc -w <<<"$cpus")))
on_each tx
verdict "pings are echoed"

begin
zero
had=$(pongs)
ping -q -c 400 -i 0.02 "$PEER" >/dev/null &
switch_while $!
# testpmd answers on the pair that a ping came by, and what it has for one that is not in use any more it drops.
all_but() { [ $(($(pongs) - had)) -ge $((400 - FEWER)) ]; }
wait_for 10 all_but || bad "$((400 - $(pongs) + had)) of 400 pings were lost as there were fewer pairs $FEWER times"
same 400 $((400 - FEWER))
verdict "pings are echoed as the number of pairs changes"

begin
mode rxonly
zero
read -ra had < <(queue_packets tx "$max")
send 64
wait "${SENDERS[@]}"
same $((N * ${#SENDERS[@]})) 0
on_each tx
zero
N=$((4 * N)) send 1400
switch_while "${SENDERS[@]}"
same $((4 * N * ${#SENDERS[@]})) 0
verdict "testpmd counts what is sent, as the number of pairs changes, too"

begin
zero
read -ra had < <(queue_packets rx "$max")
mode txonly
sleep 1
pmd stop >/dev/null
same 0 1000
on_each rx
verdict "what testpmd sends is counted"

begin
zero
mode txonly
sleep 3 &
switch_while $!
pmd stop >/dev/null
same 0 1000
verdict "the same as the number of pairs changes"

begin
mode io
zero
N=500 send 200
wait "${SENDERS[@]}"
# What a full ring takes no more testpmd drops.
same $((500 * ${#SENDERS[@]})) 500
mode icmpecho
reach || bad "no answer to ping"
log_problems >"$WORK/splat"
[ ! -s "$WORK/splat" ] || bad "the kernel complains: $(head -3 "$WORK/splat")"
verdict "what is sent comes back"
finish
