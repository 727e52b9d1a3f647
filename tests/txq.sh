#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A packet is sent on the queue of the CPU it comes from: a sender bound to a CPU makes the counter of that CPU's queue
# (the ones whose xps_cpus has the CPU) grow by all of its packets, and no other's.
. "$(dirname "$0")/lib.sh"

COUNT=40
# Packets of others that may come in between: neighbour and router discovery, in the whole of a run.
NOISE=8
[ "$(stat tx0_packets)" ] || skip_all "$DRV has no packet counter for each queue in ethtool -S"
max=$(max_pairs) first=$(pairs)
at_exit 'set_pairs $first'
numbers=$(printf '%s\n' 1 2 3 "$max" | awk -v m="$max" '$1 <= m' | sort -nu)
plan "$(($(wc -w <<<"$numbers") + 2))"
reach

# What was sent is counted when the device has taken it: wait until nothing changes any more.
settled() {
	local a b
	b=$(queue_packets tx "$max")
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep 0.05
		a=$b b=$(queue_packets tx "$max")
		[ "$a" = "$b" ] && break
	done
	echo "$b"
}

for n in $numbers; do
	begin
	set_pairs "$n" 2>"$WORK/err" || bad "combined $n: $(cat "$WORK/err")"
	covered=
	for c in $(online_cpus); do
		read -ra before <<<"$(settled)"
		# The answers aren't waited for: it is the way out that counts.
		taskset -c "$c" ping -q -c $COUNT -i 0.003 -s 100 -W 1 "$PEER" >/dev/null
		read -ra after <<<"$(settled)"
		own=0 others=0 mine=
		for ((q = 0; q < n; q++)); do
			d=$((after[q] - before[q]))
			if [[ " $(xps_cpus $q) " == *" $c "* ]]; then
				own=$((own + d)) mine+=" $q"
				covered+=" $q"
			else
				others=$((others + d))
			fi
		done
		[ "$mine" ] || bad "no queue has CPU $c in its xps_cpus"
		[ $own -ge $COUNT ] || bad "CPU $c: its queues ($mine) sent $own packets of $COUNT; before: ${before[*]}, after: ${after[*]}"
		[ $others -le $NOISE ] || bad "CPU $c: queues other than its own ($mine) sent $others packets"
	done
	for ((q = 0; q < n; q++)); do
		[[ " $covered " == *" $q "* ]] || bad "queue $q belongs to no CPU"
	done
	verdict "$n queues, each CPU sends on its own"
done

# Each queue's completion interrupts are sent to its CPUs, if it has an interrupt of its own. (Not effective_affinity: an
# interrupt moves when it comes the next time, and the queue may be idle.)
begin
set_pairs "$max" 2>/dev/null
if irq_per_queue; then
	for ((q = 0; q < max; q++)); do
		got=$(expand "$(cat "/proc/irq/$(irq_of output.$q)/smp_affinity_list")") want=$(xps_cpus $q)
		[ "$got" = "$want" ] || bad "output.$q interrupts CPUs $got, its xps_cpus are $want"
	done
	verdict "interrupts come to the sending CPUs"
else
	skip "interrupts come to the sending CPUs" "no interrupt for each queue"
fi

# A filter inside of a queue's qdisc sends each second packet on another queue. Packets that leave together (the delay sees
# to that) go by the lock of the first one's queue. BQL must not stop either: the core then waits for the wrong one to go on.
BURST=100 LIMIT=1000000 name="a qdisc's filter may choose the queue"
moving_qdisc() {
	local band
	tc qdisc replace dev "$NETIF" root handle 1: mq && tc qdisc add dev "$NETIF" parent 1:1 handle 10: prio || return
	for band in 1 2 3; do
		tc qdisc add dev "$NETIF" parent 10:$band netem delay 20ms || return
	done
	tc filter add dev "$NETIF" parent 10: protocol ip u32 match ip protocol 1 0xff match u16 1 1 at 26 \
		action skbedit queue_mapping 1
}
limit_min() {
	local q
	for q in 0 1; do
		echo "$1" >"/sys/class/net/$NETIF/queues/tx-$q/byte_queue_limits/limit_min" || return
	done
}
# Where a CPU has several queues, a flow's hash chooses one of them: the CPUs of queue 0 are to have no other.
xps_of_others() {
	local q
	have_xps || return 0
	for ((q = 1; q < max; q++)); do
		echo "${1:-${masks[q]}}" >"/sys/class/net/$NETIF/queues/tx-$q/xps_cpus" || return
	done
}
masks=()
for ((q = 1; q < max; q++)); do
	! have_xps || masks[q]=$(<"/sys/class/net/$NETIF/queues/tx-$q/xps_cpus")
done
limits_follow() {
	local q
	taskset -c "$1" ping -q -c 4 -i 0.2 -W 1 "$PEER" >/dev/null
	for q in 0 1; do
		[ "$(<"/sys/class/net/$NETIF/queues/tx-$q/byte_queue_limits/limit")" -ge $LIMIT ] || return
	done
}
at_exit 'limit_min 0; tc qdisc del dev $NETIF root; xps_of_others'
if [ "$max" -lt 2 ]; then
	skip "$name" "one queue pair"
elif ! moving_qdisc 2>"$WORK/err"; then
	skip "$name" "$(tail -1 "$WORK/err")"
else
	begin
	limit_min $LIMIT || bad "the queues' limit_min can't be set"
	xps_of_others 0 || bad "the other queues' xps_cpus can't be set"
	read -ra cpus <<<"$(xps_cpus 0)"
	# A queue's limit follows limit_min when a packet of it has been sent; until then a few packets stop it.
	wait_for 5 limits_follow "${cpus[0]}" || bad "the queues' limits don't follow limit_min"
	for _ in 1 2 3; do
		read -ra before <<<"$(settled)"
		got=$(taskset -c "${cpus[0]}" ping -q -S 1000000 -c $BURST -l $BURST -W 3 "$PEER" | sed -n 's/.* \([0-9]*\) received.*/\1/p')
		read -ra after <<<"$(settled)"
		[ "$got" = $BURST ] || bad "$BURST packets, ${got:-no} answers"
		for q in 0 1; do
			d=$((after[q] - before[q]))
			[ $d -ge $((BURST / 3)) ] || bad "queue $q sent $d packets of $((BURST / 2))"
		done
	done
	tc qdisc del dev "$NETIF" root || bad "the qdisc stays"
	verdict "$name"
fi
finish
