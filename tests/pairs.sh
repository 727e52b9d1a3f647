#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# How many pairs the driver starts with: one for each online CPU, as many as the device has, or what the parameter
# queue_pairs says, whichever is least. Queues that aren't in use get no receive buffers and no interrupts.
. "$(dirname "$0")/lib.sh"

ours || skip_all "the driver is $DRV, not virtio_net_mq"
[ "${KO:-}" ] || skip_all "KO is not set: the module must be loaded anew"
max=$(max_pairs)
cpus=$(online_cpus | wc -w)
default=$((max < cpus ? max : cpus))
plan 7

reload() {
	wait_for 10 rmmod virtio_net_mq 2>/dev/null || { bad "rmmod: $(rmmod virtio_net_mq 2>&1)"; return 1; }
	insmod "$KO" "$@" || { bad "insmod $*: failed"; return 1; }
	configure || { bad "insmod $*: no interface"; return 1; }
}
at_exit configure
# shellcheck disable=SC2086
at_exit 'rmmod virtio_net_mq; insmod $KO ${PARAMS:-}'

# What the device sees in a receive ring: how many buffers were ever made available. Fails if QEMU doesn't tell
# (a packed ring, or a run without hostctl).
avail() {
	hostctl qmp x-query-virtio-queue-element path=/machine/peripheral/nic0/virtio-backend "queue=$(($1 * 2))" 2>/dev/null |
		grep -o '"avail": {[^}]*"idx": [0-9]*' | grep -o '[0-9]*$'
}

# loads PARAMETERS, expects $1 pairs
starts_with() {
	local want=$1 i
	shift
	begin
	if reload "$@"; then
		[ "$(pairs)" = "$want" ] || bad "${*:-no parameter}: $(pairs) pairs, not $want"
		[ "$(queue_dirs tx)/$(queue_dirs rx)" = "$want/$want" ] || bad "${*:-no parameter}: sysfs has $(queue_dirs tx)/$(queue_dirs rx)"
		[ "$(max_pairs)" = "$max" ] || bad "${*:-no parameter}: at most $(max_pairs), not $max"
		reach || bad "${*:-no parameter}: no answer to ping"
	fi
}

starts_with $default
verdict "without a parameter: $default ($max pairs, $cpus CPUs)"
starts_with $default queue_pairs=0
verdict "queue_pairs=0 is the same"
starts_with "$max" queue_pairs=1000
verdict "queue_pairs=1000: as many as the device has"
two=$((max < 2 ? max : 2))
starts_with $two queue_pairs=2
verdict "queue_pairs=2"

# CPUs that come later don't change the number.
if [ -z "$(removable_cpus)" ]; then
	skip "fewer CPUs, fewer pairs" "no CPU can go offline"
else
	begin
	at_exit all_cpus_online
	for c in $(removable_cpus); do cpu_online "$c" 0; done
	n=$(online_cpus | wc -w)
	starts_with $((max < n ? max : n))
	all_cpus_online
	[ "$(pairs)" = $((max < n ? max : n)) ] || bad "with the CPUs back there are $(pairs) pairs"
	verdict "fewer CPUs, fewer pairs"
fi

starts_with 1 queue_pairs=1
verdict "queue_pairs=1"

begin
if ! irq_per_queue || [ "$max" = 1 ]; then
	skip "queues not in use are left alone" "no second queue with an interrupt of its own"
	finish
fi
declare -A before
for ((q = 0; q < max; q++)); do before[$q]="$(irq_count input.$q) $(irq_count output.$q)"; done
iperf_start -P 4 -t 2
iperf_ok || bad "iperf3: $(iperf_last)"
iperf_start -P 4 -t 2 -R
iperf_ok || bad "iperf3 -R: $(iperf_last)"
for ((q = 0; q < max; q++)); do
	now="$(irq_count input.$q) $(irq_count output.$q)"
	if [ $q = 0 ]; then
		[ "${now%% *}" -gt "${before[0]%% *}" ] || bad "input.0 had no interrupts under traffic"
	else
		[ "$now" = "${before[$q]}" ] || bad "inactive pair $q had interrupts: from ${before[$q]} to $now (input, output)"
	fi
done
if [ "$(avail 0 2>/dev/null)" ]; then
	[ "$(avail 0)" -gt 0 ] || bad "the queue in use has no buffers"
	for ((q = 1; q < max; q++)); do
		[ "$(avail $q)" = 0 ] || bad "inactive input.$q got buffers: $(avail $q)"
	done
	# The other way round, so that the zero means something.
	set_pairs 2
	[ "$(avail 1)" -gt 0 ] || bad "input.1 in use has no buffers"
else
	note "QEMU doesn't tell about the rings; buffers not checked"
fi
verdict "queues not in use are left alone"
finish
