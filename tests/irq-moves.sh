#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# An interrupt that somebody has bound is left alone. One that the kernel is just moving to where the driver bound it, which
# happens at the next interrupt, isn't taken for such a one. The move takes long by a parameter of a module built with
# VNM_FAILPOINTS=1.
. "$(dirname "$0")/lib.sh"

ours || skip_all "the driver is $DRV, not virtio_net_mq"
params=/sys/module/virtio_net_mq/parameters
[ -e $params/delay_irq_moves ] || skip_all "this module is built without VNM_FAILPOINTS=1, or the kernel has no kprobes"
irq_per_queue || skip_all "no interrupt for each queue"
[ "$(max_pairs)" -gt 1 ] && [ "$(nproc)" -gt 1 ] || skip_all "one pair, or one CPU"

SECS=${SECS:-10}
first=$(pairs)
at_exit 'set_pairs $first'
plan 2
set_pairs 1
reach
irqs=("$(irq_of input.0)" "$(irq_of output.0)")
all=$(<"/proc/irq/${irqs[0]}/affinity_hint")
set_pairs 2
one=$(<"/proc/irq/${irqs[0]}/affinity_hint")
set_pairs 1

delays() { cat $params/delays; }

begin
d0=$(delays) n=0
# Packets now and then: each interrupt carries out the move that was asked for before it.
taskset -c 0 ping -q -i 0.02 -w $((SECS * SLOW + 5)) "$PEER" >/dev/null 2>&1 &
ping=$!
echo $((SECS * SLOW * 1000)) >$params/delay_irq_moves &
moves=$!
while kill -0 $moves 2>/dev/null; do
	taskset -c 1 ethtool -L "$NETIF" combined 2 && taskset -c 1 ethtool -L "$NETIF" combined 1 || bad "the number of pairs can't be changed"
	n=$((n + 1))
done
wait $moves || bad "moves of interrupts can't be delayed"
kill $ping 2>/dev/null
wait $ping 2>/dev/null
note "$n times 2 pairs and 1, $(($(delays) - d0)) moves were delayed"
[ $(($(delays) - d0)) -ge 4 ] || bad "only $(($(delays) - d0)) moves were delayed, which shows nothing"
for p in 1 2; do
	set_pairs $p
	# (The slices of two pairs: affinity.sh looks at all of them.)
	[ $p = 1 ] && want=$all || want=$one
	for irq in "${irqs[@]}"; do
		for f in affinity_hint smp_affinity; do
			[ "$(<"/proc/irq/$irq/$f")" = "$want" ] || bad "$p pairs: interrupt $irq has $f $(<"/proc/irq/$irq/$f"), not $want"
		done
	done
done
verdict "an interrupt that is being moved is the driver's all the same"

# The other way round: what the user binds stays so.
begin
echo 2 >"/proc/irq/${irqs[1]}/smp_affinity" || bad "the interrupt can't be bound"
set_pairs 2
set_pairs 1
mask=$(<"/proc/irq/${irqs[1]}/smp_affinity")
[ $((16#${mask//,/})) = 2 ] || bad "the interrupt was bound to mask 2, and has $mask"
verdict "an interrupt that the user binds stays there"
finish
