#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Interrupt affinity and XPS maps follow one table, computed here once more: with at least as many pairs as CPUs, pair i
# has the CPU of rank i mod n; with fewer, the pairs have contiguous slices of the CPUs, the larger ones first. Ranks count
# online CPUs, node by node, package by package and core by core, so the table changes when CPUs go and come.
. "$(dirname "$0")/lib.sh"

ours || skip_all "$DRV distributes CPUs by a rule of its own"
max=$(max_pairs) first=$(pairs)
at_exit 'set_pairs $first'
at_exit all_cpus_online
plan 9

# The CPUs of pair $1 of $2, given the online ones as further arguments: in $MASK, a mask like those of the kernel's files.
# (No subshell: there are many comparisons, and a process is dear on an emulated CPU.)
expected_mask() {
	local i=$1 p=$2 n r
	shift 2
	local cpus=("$@")
	n=${#cpus[@]} MASK=0
	if ((p >= n)); then
		MASK=$((1 << cpus[i % n]))
		return
	fi
	# CPU by CPU: which slice does rank r fall into, when each pair takes its share in turn?
	local pair=0 taken=0 share
	for ((r = 0; r < n; r++)); do
		share=$((n / p + (pair < n % p ? 1 : 0)))
		if ((taken == share)); then pair=$((pair + 1)) taken=0; fi
		if ((pair == i)); then MASK=$((MASK | 1 << cpus[r])); fi
		taken=$((taken + 1))
	done
}

# Value of a file with a mask in it, in $MASK.
read_mask() {
	MASK=0
	read -r MASK <"$1" || bad "$1 can't be read"
	MASK=$((16#${MASK//,/}))
}

# The CPUs that are online, in the order of their places, in $ONLINE; to be called after they changed, before what checks.
look() { read -ra ONLINE <<<"$(cpus_by_topology)"; }

check_xps() {
	local i p=$1 want
	# One queue and no more: all CPUs use it.
	[ "$XPS" ] || return
	for ((i = 0; i < p; i++)); do
		expected_mask $i "$p" "${ONLINE[@]}"
		want=$MASK
		read_mask "/sys/class/net/$NETIF/queues/tx-$i/xps_cpus"
		[ $want = $MASK ] || bad "$p pairs, CPUs ${ONLINE[*]}: tx-$i has xps_cpus $MASK, not $want (masks in decimal)"
	done
}
declare -A IRQ
find_irqs() {
	local irq name
	while read -r irq name; do IRQ[$name]=$irq; done < <(awk -v v="$VDEV-" 'index($NF, v) == 1 {
		sub(":", "", $1); print $1, substr($NF, length(v) + 1) }' /proc/interrupts)
}
check_irq() {
	local i p=$1 d f want
	for ((i = 0; i < max; i++)); do
		if ((i < p)); then expected_mask $i "$p" "${ONLINE[@]}"; else MASK=0; fi
		want=$MASK
		for d in input.$i output.$i; do
			for f in affinity_hint smp_affinity; do
				# Where an inactive queue's interrupt would go doesn't matter.
				[ $i -ge "$p" ] && [ $f = smp_affinity ] && continue
				read_mask "/proc/irq/${IRQ[$d]}/$f"
				[ $MASK = $want ] || bad "$p pairs, CPUs ${ONLINE[*]}: $d has $f $MASK, not $want (masks in decimal)"
			done
		done
	done
}
check() {
	look
	check_xps "$max"
	[ ! $PER_QUEUE ] || check_irq "$max"
}
find_irqs
XPS= PER_QUEUE=
have_xps && XPS=yes
irq_per_queue && PER_QUEUE=yes

# The own table first: it covers each CPU, and slices differ by one at most.
begin
cpus=()
for n in 1 2 3 4 5 6 7; do
	cpus+=($((n - 1)))
	for p in 1 2 3 4 5; do
		all=0 least=$n most=0
		for ((i = 0; i < p; i++)); do
			expected_mask $i $p "${cpus[@]}"
			all=$((all | MASK)) size=0
			for c in "${cpus[@]}"; do size=$((size + (MASK >> c & 1))); done
			least=$((size < least ? size : least)) most=$((size > most ? size : most))
		done
		[ $all = $(((1 << n) - 1)) ] || bad "$p pairs on $n CPUs: covered are $all (a mask in decimal)"
		[ $((most - least)) -le 1 ] || bad "$p pairs on $n CPUs: the smallest has $least, the largest $most"
	done
done
verdict "the table covers all CPUs evenly"

run() {
	local p what=$1
	shift
	local irq_bad=()
	look
	for p in $(seq "$max") 1 "$max"; do
		set_pairs "$p" 2>"$WORK/err" || bad "combined $p: $(cat "$WORK/err")"
		check_xps "$p"
		if [ $PER_QUEUE ]; then
			local keep=("${_bad[@]}")
			begin
			check_irq "$p"
			irq_bad+=("${_bad[@]}")
			_bad=("${keep[@]}")
		fi
	done
	if [ "$XPS" ]; then verdict "XPS maps: $what"; else skip "XPS maps: $what" "one transmit queue, so no maps"; fi
	if [ $PER_QUEUE ]; then
		_bad=("${irq_bad[@]}")
		verdict "interrupts: $what"
	else
		skip "interrupts: $what" "no interrupt for each queue"
	fi
}

begin
run "all CPUs online"

if [ -z "$(removable_cpus)" ]; then
	for t in "XPS maps: CPUs offline" "interrupts: CPUs offline" "each change" "XPS maps: CPUs back" "interrupts: CPUs back" \
		"interrupts: CPUs gone and back while queues are not in use"; do
		skip "$t" "no CPU can go offline"
	done
	finish
fi

# One in the middle and the last, if there are that many.
gone=$(removable_cpus | sed -n '1p;$p' | sort -nu)
begin
for c in $gone; do cpu_online "$c" 0; done
run "CPUs $(echo $gone) offline"

# As CPUs come one by one the maps follow at once, without a change of the number of pairs.
begin
for c in $gone; do
	cpu_online "$c" 1
	check
done
for c in $gone; do
	cpu_online "$c" 0
	check
	cpu_online "$c" 1
done
verdict "the maps follow each CPU"

begin
run "CPUs back"

# The kernel moves the interrupts of a queue that isn't in use when their CPU goes. They are the driver's all the same.
begin
set_pairs 1 2>"$WORK/err" || bad "combined 1: $(cat "$WORK/err")"
for c in $(removable_cpus); do cpu_online "$c" 0; done
all_cpus_online
set_pairs "$max" 2>"$WORK/err" || bad "combined $max: $(cat "$WORK/err")"
if [ $PER_QUEUE ] && [ "$max" -gt 1 ]; then
	look
	check_irq "$max"
	verdict "interrupts: CPUs gone and back while queues are not in use"
else
	skip "interrupts: CPUs gone and back while queues are not in use" "no second queue with an interrupt of its own"
fi
finish
