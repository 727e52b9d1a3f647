#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Devices that lack something: several queues, the control queue, enough interrupt vectors. What they have works, what they
# lack is refused without harm. What this guest's device lacks is read from the device's own feature bits.
. "$(dirname "$0")/lib.sh"

MQ=22 CTRL_VQ=17 CTRL_MAC=23
max=$(max_pairs)
at_exit 'set_pairs $first_pairs'
first_pairs=$(pairs)
plan 8
reach

lacking=
negotiated $CTRL_VQ || lacking+=" CTRL_VQ"
negotiated $MQ || lacking+=" MQ"
irq_per_queue || lacking+=" vectors"
# Each queue has a vector of its own, if that takes fewer pairs; with fewer than three vectors all queues share.
want=${QUEUES:-$max} vectors=
[[ ,$FEATURES, =~ ,vectors=([0-9]+), ]] && vectors=${BASH_REMATCH[1]}
if ours && [ "$vectors" ] && [ "$vectors" -ge 3 ]; then
	[ $(((vectors - 1) / 2)) -ge "$want" ] || want=$(((vectors - 1) / 2))
fi
note "lacking:${lacking:- nothing}"

begin
if negotiated $MQ && negotiated $CTRL_VQ; then
	[ "$max" = "$want" ] || bad "at most $max pairs, not $want: the device has ${QUEUES:-?} pairs and ${vectors:-?} vectors"
	if [ "$vectors" ] && ours; then
		own=no
		irq_per_queue && own=yes
		[ "$own" = "$([ "$vectors" -ge 3 ] && echo yes || echo no)" ] || bad "$vectors vectors, an interrupt for each queue: $own"
		[ "$own" = no ] || [ -z "$(irq_of "input.$max")$(irq_of "output.$max")" ] || bad "pair $max can't be used and has interrupts"
	fi
	verdict "$max pairs can be used"
else
	[ "$max" = 1 ] || bad "at most $max pairs without$lacking"
	[ "$(pairs)" = 1 ] || bad "$(pairs) pairs in use"
	verdict "there is one pair"
fi

begin
ethtool -L "$NETIF" combined $((max + 1)) 2>/dev/null && bad "combined $((max + 1)) was taken"
for ((n = 1; n <= max; n++)); do
	set_pairs $n 2>"$WORK/err" || bad "combined $n: $(cat "$WORK/err")"
	[ "$(queue_dirs tx)" = $n ] || bad "$n pairs: sysfs has $(queue_dirs tx)"
	reach || bad "$n pairs: no answer to ping"
done
verdict "numbers of pairs: 1 to $max, $((max + 1)) is refused"

begin
for args in "-P 4" "-R -P 4"; do
	# shellcheck disable=SC2086
	iperf_start $args -t 2
	iperf_ok || bad "iperf3 $args: $(iperf_last)"
done
if have_peer_service; then
	sum=$(blob "$WORK/blob" 4000000)
	for via in "$PEER" $PEER6; do
		out=$(upload "$WORK/blob" "$sum" "$via") || bad "$out"
		out=$(download 4000000 $RANDOM "$via") || bad "$out"
	done
fi
verdict "traffic"

# Shared or not, each queue's interrupts arrive. Enough flows that the device's hash finds each receive queue.
begin
if ! ours; then
	skip "each queue is served" "$DRV doesn't count callbacks"
else
	for ((q = 0; q < max; q++)); do before[q]="$(stat rx${q}_callbacks) $(stat tx${q}_packets)"; done
	for ((turn = 0; turn < 8; turn++)); do
		iperf_start -P 8 -t 1 -R
		iperf_ok || bad "iperf3: $(iperf_last)"
		for c in $(online_cpus); do answered 5 "$c" -i 0.005 -W 5 "$PEER" || bad "CPU $c: no answer to ping"; done
		idle=
		for ((q = 0; q < max; q++)); do
			[ "$(stat rx${q}_callbacks)" -gt "${before[q]% *}" ] || idle+=" rx$q"
			# With more pairs than CPUs some TX queues depend on a hash, too.
			[ "$(stat tx${q}_packets)" -gt "${before[q]#* }" ] || idle+=" tx$q"
		done
		[ "$idle" ] || break
	done
	[ -z "$idle" ] || bad "without callbacks or packets:$idle"
	verdict "each queue is served"
fi

# What needs the control queue: refused or done without, and no harm.
begin
old=$(mac)
if negotiated $CTRL_VQ && negotiated $CTRL_MAC; then
	ip link set "$NETIF" address 02:00:00:00:00:77 || bad "the address can't be set"
	[ "$(mac)" = 02:00:00:00:00:77 ] || bad "the address is $(mac)"
	ip link set "$NETIF" address "$old" || bad "the address can't be set back"
else
	note "without a way to tell the device its address"
fi
ip link set "$NETIF" promisc on || bad "promisc on failed"
ip link set "$NETIF" allmulticast on || bad "allmulticast on failed"
ip maddr add 01:00:5e:00:11:22 dev "$NETIF" || bad "joining a group failed"
ip maddr del 01:00:5e:00:11:22 dev "$NETIF"
ip link set "$NETIF" allmulticast off
ip link set "$NETIF" promisc off
reach || bad "no answer to ping"
verdict "address and filters"

begin
for _ in 1 2 3; do
	ip link set "$NETIF" down
	ip link set "$NETIF" up
	reach || bad "no answer to ping after down and up"
done
verdict "down and up"

begin
off() { case ,$FEATURES, in *,$1=off,*) ;; *) return 1 ;; esac }
if off host_tso4 && off host_tso6 && ! off host_ecn; then
	negotiated 13 && ours && bad "HOST_ECN was negotiated without TSO"
	! dmesg | grep 'HOST_ECN' >"$WORK/ecn" || bad "the log complains: $(head -1 "$WORK/ecn")"
	verdict "the log says nothing of ECN without TSO, which is of no use"
else
	skip "the log says nothing of ECN without TSO, which is of no use" "the device has TSO, or no ECN"
fi

begin
if irq_per_queue || ! ours; then
	skip "shared interrupts have no affinity hint" "each queue has its own, or the driver is $DRV"
elif [ "${VDPA:-}" ]; then
	skip "shared interrupts have no affinity hint" "a device on VDUSE interrupts by calling"
else
	# The shared interrupt is one, whatever its name (without MSI-X the device's); affinity hints are for queues with one each.
	irqs=$(awk -v d="$VDEV" '$NF == d || index($NF, d "-") == 1 { sub(":", "", $1); print $1 }' /proc/interrupts)
	[ "$irqs" ] || bad "$VDEV has no interrupt"
	for irq in $irqs; do
		hint=$(mask_cpus "$(cat "/proc/irq/$irq/affinity_hint")")
		[ -z "$hint" ] || bad "shared IRQ $irq has the affinity hint $hint"
	done
	verdict "shared interrupts have no affinity hint"
fi
finish
