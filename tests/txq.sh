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
plan "$(($(wc -w <<<"$numbers") + 1))"
reach

# "packets of queue 0, of queue 1, …"
counts() { ethtool -S "$NETIF" | awk '/^ *tx[0-9]+_packets:/ { sub("^tx", "", $1); sub("_.*", "", $1); v[$1] = $2; if ($1 > m) m = $1 }
	END { for (i = 0; i <= m; i++) printf "%d ", v[i] }'; }
# What was sent is counted when the device has taken it: wait until nothing changes any more.
settled() {
	local a b
	b=$(counts)
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		sleep 0.05
		a=$b b=$(counts)
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
finish
