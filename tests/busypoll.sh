#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Applications poll the receive queue (net.core.busy_read) while interrupts are deferred, and a CPU that has just ended its
# poll, so that the queue is another's, loses its time before it goes on: the queue is received from all the same, to the end.
# And interrupts that are deferred as a poll comes to its end aren't any more when it ends.
# The CPU loses its time by parameters of a module built with VNM_FAILPOINTS=1.
. "$(dirname "$0")/lib.sh"

ours || skip_all "the driver is $DRV, not virtio_net_mq"
params=/sys/module/virtio_net_mq/parameters
[ -e $params/delays ] || skip_all "this module is built without VNM_FAILPOINTS=1"
have netperf || skip_all "no netperf"
[ "$(nproc)" -ge 4 ] || skip_all "$(nproc) CPUs: three that poll and one that is interrupted are needed"
[ -e /proc/sys/net/core/busy_read ] || skip_all "this kernel has no busy polling"

# It stalled after 40 to 400 delays where it could.
ENOUGH=${ENOUGH:-600} SECS=${SECS:-45} LEAST=150
dir=/sys/class/net/$NETIF
first=$(pairs)
at_exit 'set_pairs $first; echo 0 >$dir/napi_defer_hard_irqs; echo 0 >$dir/gro_flush_timeout'
at_exit 'echo 0 >$params/delay_after_complete; echo 0 >$params/delay_before_complete; echo 0 >/proc/sys/net/core/busy_read'
plan 2
set_pairs 1
irq=$(irq_of input.0)
if [ "$irq" ]; then
	mask=$(<"/proc/irq/$irq/smp_affinity")
	at_exit 'echo $mask >/proc/irq/$irq/smp_affinity'
	echo 1 >"/proc/irq/$irq/smp_affinity"
fi
reach

received() { stat rx0_packets; }
delays() { cat $params/delays; }
moved() { [ "$(received)" != "$was" ]; }

begin
echo 2 >"$dir/napi_defer_hard_irqs" && echo 50000 >"$dir/gro_flush_timeout" || bad "interrupts can't be deferred"
echo 50 >/proc/sys/net/core/busy_read
echo 16 >$params/delay_after_complete
d0=$(delays) p0=$(received) i0=$(stat rx0_callbacks)
for c in 1 2 3; do
	taskset -c $c netperf -H "$PEER" -t TCP_RR -l $((SECS + 30)) >"$WORK/netperf.$c" 2>&1 &
done
end=$((SECONDS + SECS))
stalled=
while [ $SECONDS -lt $end ] && [ $(($(delays) - d0)) -lt "$ENOUGH" ]; do
	was=$(received)
	# Three that ask and are answered all the time.
	wait_for 8 moved || { stalled=1; break; }
done
n=$(($(delays) - d0)) p=$(($(received) - p0)) i=$(($(stat rx0_callbacks) - i0))
echo 0 >$params/delay_after_complete
echo 0 >/proc/sys/net/core/busy_read
note "$n delays, $p packets, $i interrupts"
[ -z "$stalled" ] || bad "nothing was received for 8 s, after $n delays and $p packets"
reach || bad "no answer to ping any more"
name="a queue that many poll goes on"
if [ ${#_bad[@]} = 0 ] && [ "$n" -lt $LEAST ]; then
	skip "$name" "only $n delays came about in $SECS s, which shows nothing"
else
	verdict "$name"
fi

jobs -p | xargs -r kill 2>/dev/null
wait 2>/dev/null

begin
TURNS=${TURNS:-20}
echo 1000 >$params/delay_before_complete
d0=$(delays) p0=$(received)
taskset -c 1 ping -q -f -w $((SECS * SLOW)) "$PEER" >/dev/null 2>&1 &
ping=$!
for ((i = 0; i < TURNS; i++)); do
	# Now and then, by the way of many, a poll expects the timer and finds none.
	for ((k = 0; k < 200; k++)); do
		echo 0 >"$dir/gro_flush_timeout"
		echo 50000 >"$dir/gro_flush_timeout"
	done
	was=$(received)
	wait_for 8 moved || { bad "nothing was received for 8 s, after $i turns, $(($(delays) - d0)) delays and $(($(received) - p0)) packets"; break; }
done
kill $ping 2>/dev/null
wait $ping 2>/dev/null
echo 0 >$params/delay_before_complete
n=$(($(delays) - d0))
note "$i turns, $n delays, $(($(received) - p0)) packets"
[ "$n" -ge $LEAST ] || bad "only $n polls expected the timer"
reach || bad "no answer to ping any more"
verdict "a queue goes on whose interrupts are no longer deferred"
finish
