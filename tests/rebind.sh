#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The driver is unbound and bound BINDS times, some of them with traffic and with other settings than at first. Nothing of it
# is left behind: no memory in the slab caches, no page pool, no interrupt, and nothing that kmemleak finds, where the kernel
# has that. With WITH=xdp in the environment programs, and AF_XDP's sockets on all queues, are there as it is unbound.
. "$(dirname "$0")/lib.sh"
WITH=${WITH:-}
# shellcheck source=tests/xsk/lib.sh
[ -z "$WITH" ] || . "$HERE/xsk/lib.sh"

ours || skip_all "the driver is $DRV, not virtio_net_mq"
BINDS=${BINDS:-200}
bind=/sys/bus/virtio/drivers/$DRV
leaks=/sys/kernel/debug/kmemleak
plan 4
at_exit configure
at_exit '[ -e $bind/$VDEV ] || echo $VDEV >$bind/bind'
mark_log

unbind() {
	echo "$VDEV" >"$bind/unbind" || bad "turn $1: unbind failed"
	[ -e "$bind/$VDEV" ] && bad "turn $1: still bound"
	grep -q "$VDEV-" /proc/interrupts && bad "turn $1: interrupts are left"
}
occupy() {
	[ "$WITH" ] || return
	attach to_socket || bad "turn $1: $(said)"
	((($1 / 10) % 2)) || xsk_start -z -w -q "$(all_queues)" echo "$NETIF" || bad "turn $1: $(xsk_said)"
}
# One in ten carries traffic, with the settings that the turn's number gives.
turn() {
	echo "$VDEV" >"$bind/bind" || { bad "turn $1: bind failed"; return; }
	if (($1 % 10 == 0)); then
		configure || bad "turn $1: the interface isn't back"
		set_pairs $(($1 / 10 % $(max_pairs) + 1)) || bad "turn $1: -L failed"
		((($1 / 10) % 2)) || ethtool -G "$NETIF" rx 64 tx 64 2>/dev/null
		occupy "$1"
		reach || bad "turn $1: no answer to ping"
		ping -q -f -w 30 "$PEER" >/dev/null 2>&1 &
		# Each way in turn: what is received takes pages away, in halves.
		if ((($1 / 10) % 3)); then iperf_start -p 5203 -t 20 -R; else iperf_start -p 5203 -t 20; fi
		sleep 1
	elif (($1 % 3 == 0)); then
		find_netif && ip link set "$NETIF" up
		[ -z "$WITH" ] || attach pass || bad "turn $1: $(said)"
	fi
	unbind "$1"
	[ -z "$WITH" ] || xsk_kill
	if (($1 % 10 == 0)); then
		kill %% $IPERF_PID 2>/dev/null
		pkill -x ping
		pkill -x iperf3
		wait
	fi
}

begin
unbind 0
for ((i = 1; i <= 20; i++)); do turn $i; done
drop_caches
take_stock >"$WORK/before"
for ((i = 21; i <= BINDS; i++)); do
	turn $i
	((i % 50)) || note "$i of $BINDS"
	[ ${#_bad[@]} -lt 10 ] || break
done
verdict "unbound and bound $BINDS times"

begin
drop_caches
take_stock >"$WORK/after"
while IFS= read -r l; do bad "$l"; done < <(left_behind "$WORK/before" "$WORK/after")
note "memory in KiB before: $(awk '$1 == "memory" { printf "%s %s  ", $2, $3 }' "$WORK/before")"
note "memory in KiB after:  $(awk '$1 == "memory" { printf "%s %s  ", $2, $3 }' "$WORK/after")"
verdict "nothing is left behind"

begin
if [ -w $leaks ]; then
	# What is younger than 5 s is not reported, and an object must be found twice.
	sleep 6
	echo scan >$leaks
	echo scan >$leaks
	while IFS= read -r l; do bad "$l"; done < <(grep -A 20 -m 3 unreferenced $leaks)
	verdict "kmemleak finds nothing"
else
	skip "kmemleak finds nothing" "this kernel doesn't have it"
fi

begin
echo "$VDEV" >"$bind/bind" || bad "bind failed"
configure && reach || bad "no answer to ping"
while IFS= read -r l; do bad "$l"; done < <(log_problems)
verdict "works in the end, and the kernel's log is clean"
finish
