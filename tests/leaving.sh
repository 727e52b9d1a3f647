#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What a queue pair leaves behind that is taken away (ethtool -L): a packet that the device hasn't sent yet, which must not keep
# its sender's memory for ever, nor be in a queue of which the device was told that it isn't used; and the memory of its receive
# queue, which is given back where the device can reset single queues (RING_RESET), also with the interface down.
. "$(dirname "$0")/lib.sh"

RING_RESET=40
max=$(max_pairs)
[ "$max" -gt 1 ] || skip_all "one queue pair"
plan 10
at_exit 'set_pairs $max'
set_pairs "$max"
reach
mark_log

# --- sent packets -----------------------------------------------------------------------------------------------------

# Memory that the sender's packets have, as ss shows it.
sent_memory() { ss -uanm "dst $PEER:$PORT" | sed -nE 's/.*skmem:\(.*,t([0-9]+),.*/\1/p'; }
memory_is() { local m; m=$(sent_memory); [ "${m:--1}" "$1" 0 ]; }
PORT=9000
dir=/sys/class/net/$NETIF/queues
from_all() { local c; for c in $(online_cpus); do wait_for 20 from_cpu "$c" -c 1 -W 5 "$PEER" || return; done; }
# A datagram that the device has and doesn't give back, of a socket that stays open; or what the device is told instead.
hold() {
	PORT=$((PORT + 1))
	# The stack's limit of bytes under way must not stop the queue: its watchdog would come. It counts from the next packet on.
	for l in "/sys/class/net/$NETIF/queues/"tx-*/byte_queue_limits/limit_min; do echo 1000000 >"$l"; done
	for c in $(online_cpus); do wait_for 20 from_cpu "$c" -c 3 -i 0.01 -W 5 "$PEER" || bad "CPU $c: no answer to ping"; done
	dev "${@:-case tx-never}" >/dev/null || bad "the device can't be told"
	taskset -c "$(cpu_of $((max - 1)))" bash -c "exec 7>/dev/udp/$PEER/$PORT; echo x >&7; exec sleep 600" &
	sender=$!
	wait_for 10 memory_is -gt || bad "nothing is under way: $(ss -uanm "dst $PEER:$PORT" | tr '\n' ' ')"
}
released() { wait_for 10 memory_is -eq || bad "$1: the sender still has $(sent_memory) bytes under way"; }
# The device gives back what it holds; all pairs work.
let_go() {
	kill $sender
	wait $sender 2>/dev/null
	dev honest
	set_pairs "$max" || bad "$max pairs were refused"
	for c in $(online_cpus); do wait_for 20 from_cpu "$c" -c 3 -i 0.01 -W 5 "$PEER" || bad "CPU $c: no answer to ping"; done
}
# (QEMU doesn't tell a vhost-user process of a queue that was reset: both sides go on with different ideas of the ring.)
names=("a packet that comes back late" "... after its queue is in use again" "... after down and up" "... after a reset"
	"... and unbinding" "packets leave a queue before the device is told that it isn't used")
if ! on_testdev || negotiated $RING_RESET; then
	for n in "${names[@]}"; do skip "$n" "not on the test device, or it isn't told of queue resets"; done
else
	begin
	hold
	set_pairs 1 || bad "1 pair was refused"
	memory_is -gt || bad "the device gave the packet back by itself"
	dev honest
	released "given back"
	reach || bad "no answer to ping"
	let_go
	verdict "${names[0]}"

	begin
	hold
	set_pairs 1 && set_pairs "$max" || bad "refused"
	from_cpu "$(cpu_of $((max - 1)))" -c 1 -W 1 "$PEER"
	dev honest
	released "given back"
	let_go
	verdict "${names[1]}"

	begin
	hold
	set_pairs 1 || bad "1 pair was refused"
	ip link set "$NETIF" down
	ip link set "$NETIF" up
	dev honest
	configure || bad "it doesn't come up"
	released "given back"
	let_go
	# The usual order of scripts.
	hold
	ip link set "$NETIF" down
	set_pairs 1 || bad "1 pair was refused while down"
	ip link set "$NETIF" up
	dev honest
	configure || bad "it doesn't come up"
	released "down, fewer pairs, up"
	let_go
	verdict "${names[2]}"

	begin
	hold
	# Each packet that a ring takes along counts as dropped. (There are more than these: the stack sends on the queue that is left.)
	MORE=20
	taskset -c "$(cpu_of $((max - 1)))" bash -c "for ((i = 0; i < $MORE; i++)); do echo x >/dev/udp/$PEER/8999; done"
	set_pairs 1 || bad "1 pair was refused"
	if [ -w "/sys/class/net/$NETIF/device/../reset" ]; then
		before=$(if_stat tx_dropped)
		echo 1 >"/sys/class/net/$NETIF/device/../reset" || bad "the device can't be reset"
		n=$(($(if_stat tx_dropped) - before))
		[ $n -gt $MORE ] || bad "$n packets are counted as dropped, of $((MORE + 1)) at least"
	fi
	dev honest
	wait_for 20 carrier
	released "after the reset"
	let_go
	verdict "${names[3]}"

	begin
	hold
	set_pairs 1 || bad "1 pair was refused"
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind" || bad "unbind"
	released "unbound"
	dev honest
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/bind" || bad "bind"
	configure || bad "it doesn't come up"
	reach || bad "no answer to ping"
	let_go
	verdict "${names[4]}"

	# The device looks at the packet only after the stack has lost the queue. Whoever waits for the packet is a moment late on a busy
	# machine, perhaps; whoever doesn't wait never gets by.
	begin
	for try in {1..6}; do
		hold serve 1
		dev violations clear
		set_pairs 1 &
		pairs=$!
		gone() { [ ! -e "/sys/class/net/$NETIF/queues/tx-$((max - 1))" ]; }
		for _ in {1..500}; do
			gone && break
			nap 0.01
		done
		gone || bad "the queue stays"
		nap 0.03
		dev serve
		wait $pairs || bad "1 pair was refused"
		released "try $try"
		violations=$(dev violations)
		let_go
		[ "${violations%%$'\n'*}" != 0 ] || break
	done
	[ "${violations%%$'\n'*}" = 0 ] || bad "$try times out of $try: $(sed -n 2p <<<"$violations")"
	dev violations clear
	verdict "${names[5]}"
fi

# A device that sends late has something as its queue is taken away, or its ring is replaced: it is given up with the ring, and neither
# its sender nor the stack's limit of bytes under way waits for ever.
name="what is in a ring that is reset is given up"
if ! negotiated $RING_RESET || ! ours; then
	skip "$name" "the device can't reset single queues, or the driver is $DRV"
else
	begin
	q=$((max - 1)) had=0 n=0 size=$(ring TX 2)
	at_exit 'ethtool -G $NETIF tx $size'
	ways=("ethtool -L $NETIF combined 1" "ip link set $NETIF down && ethtool -L $NETIF combined 1 && ip link set $NETIF up"
		"ethtool -G $NETIF tx 128" "ethtool -G $NETIF tx 64")
	for how in "${ways[@]}" "${ways[@]}"; do
		PORT=$((PORT + 1))
		wait_for 10 nothing_inflight || bad "the queues are busy before $how"
		rm -f "$WORK/done"
		# (The socket stays open.)
		taskset -c "$(cpu_of $q)" bash -c "exec 7>/dev/udp/$PEER/$PORT; echo x >&7; read -r n <$dir/tx-$q/byte_queue_limits/inflight
			$how; echo \$n \$? >$WORK/now; mv $WORK/now $WORK/done; exec sleep 600" &
		sender=$!
		wait_for 20 test -e "$WORK/done" || bad "no end: $how"
		read -r bytes status <"$WORK/done"
		[ "$status" = 0 ] || bad "refused: $how"
		n=$((n + 1))
		[ "$bytes" = 0 ] || had=$((had + 1))
		wait_for 10 memory_is -eq || bad "the sender still has $(sent_memory) bytes under way: $how"
		kill $sender
		wait $sender 2>/dev/null
		wait_for 10 carrier
		set_pairs "$max" || bad "$max pairs were refused after $how"
		wait_for 10 nothing_inflight || bad "the stack waits for $(inflight) bytes: $how"
		from_all || bad "not all CPUs get an answer after $how"
	done
	note "$had times of $n the device had something"
	verdict "$name"
fi

# --- received packets' memory -----------------------------------------------------------------------------------------

own_pools() { pools | awk -v i="$(cat "/sys/class/net/$NETIF/ifindex")" '$2 == i && $4 == "-"' | wc -l; }
if ! have python3 || ! ours; then
	skip "memory of queues that are taken away" "there is no Python, or the driver is $DRV"
	skip "... with the interface down" "there is no Python, or the driver is $DRV"
else
	expect=$max
	negotiated $RING_RESET && expect=1
	begin
	set_pairs "$max"
	[ "$(own_pools)" = "$max" ] || bad "$(own_pools) page pools with $max pairs"
	set_pairs 1
	[ "$(own_pools)" = "$expect" ] || bad "$(own_pools) page pools with 1 pair of $max"
	set_pairs "$max"
	reach || bad "no answer to ping"
	verdict "memory of queues that are taken away"

	begin
	set_pairs "$max"
	ip link set "$NETIF" down
	set_pairs 1
	[ "$(own_pools)" = "$expect" ] || bad "$(own_pools) page pools with 1 pair of $max, down"
	ip link set "$NETIF" up
	configure
	[ "$(own_pools)" = "$expect" ] || bad "$(own_pools) page pools with 1 pair of $max, up again"
	set_pairs "$max"
	# Some pairs only, and all over again.
	for n in 2 1 "$max"; do
		ip link set "$NETIF" down
		set_pairs "$n"
		ip link set "$NETIF" up
		configure
		[ "$expect" = "$max" ] || [ "$(own_pools)" = "$n" ] || bad "$(own_pools) page pools with $n pairs"
	done
	for c in $(online_cpus); do wait_for 20 from_cpu "$c" -c 3 -i 0.01 -W 5 "$PEER" || bad "CPU $c: no answer to ping"; done
	verdict "... with the interface down"
fi

begin
if on_testdev; then
	dev violations >"$WORK/v"
	[ "$(head -1 "$WORK/v")" = 0 ] || bad "rules broken: $(cat "$WORK/v")"
fi
# On a slow machine a packet may be held for so long that the stack's watchdog comes.
problems() { log_problems | grep -v 'NETDEV WATCHDOG'; }
[ -z "$(problems)" ] || bad "$(problems | head -3)"
verdict "no complaint of the kernel or the device"
finish
