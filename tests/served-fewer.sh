#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Another program serves the card, and fewer queue pairs than QEMU announces. Those that it serves work all the time, the driver says
# what is wrong instead of resetting the device again and again, and with as many pairs as there are all is well.
. "$(dirname "$0")/lib.sh"

[[ $BACKEND =~ queues=([0-9]+) ]] && served=${BASH_REMATCH[1]} || skip_all "QEMU serves this card"
max=$(max_pairs)
cpus=$(online_cpus)
[ "$served" -lt "$max" ] && [ "$(wc -w <<<"$cpus")" -ge "$max" ] || skip_all "all $max pairs are served"
plan 2
at_exit "set_pairs $served"

# cpus_of QUEUES…: CPUs that send there.
cpus_of() { local q; for q; do xps_cpus "$q"; done; }
resets() { log_since | grep -c 'resetting the device'; }
unserved() { log_since | grep -q 'not served by the host'; }

begin
mark_log
set_pairs "$max" || bad "$max pairs were refused"
# What they send waits for good, and as little is enough.
for cpu in $(cpus_of $(seq "$served" $((max - 1)))); do
	taskset -c "$cpu" ping -q -f -c 4000 -w 5 "$PEER" >/dev/null && bad "CPU $cpu is answered on a queue that nobody serves"
done
pings=()
for cpu in $(cpus_of $(seq 0 $((served - 1)))); do
	taskset -c "$cpu" ping -q -i 0.2 -c 300 "$PEER" >"$WORK/pings.$cpu" &
	pings+=($!)
done
if ours; then
	wait_for 50 unserved || bad "it doesn't say that queues aren't served"
	n=$(resets)
	# Each queue that waits may be what a reset helps.
	[ "$n" -le $((max - served)) ] || bad "$n resets"
	note "resets: $n"
fi
wait "${pings[@]}"
# What is in a ring as the device is reset is lost, and ping doesn't wait for an answer to the last one as long as others took.
for f in "$WORK"/pings.*; do
	came=$(sed -nE 's/.* ([0-9]+) received.*/\1/p' "$f")
	[ "${came:-0}" -ge $((299 - ${n:-0})) ] || bad "CPU ${f##*.}, of a queue that is served: $came of 300 pings are answered"
done
! ours || [ "$(resets)" = "$n" ] || bad "$(resets) resets in the end"
verdict "with $max pairs those that are served work, and the device isn't reset again and again"

begin
set_pairs "$served" || bad "$served pairs were refused"
# Where what they still held is given up, the device is reset for that.
sleep 2
reach || bad "no answer to ping"
for cpu in $cpus; do answered 50 "$cpu" -i 0.02 "$PEER" || bad "pings from CPU $cpu are lost"; done
if ours; then
	mark_log
	sleep 12
	log_problems >"$WORK/splat"
	[ ! -s "$WORK/splat" ] || bad "the kernel complains: $(head -3 "$WORK/splat")"
fi
verdict "with $served pairs all is well"
finish
