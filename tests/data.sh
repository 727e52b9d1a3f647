#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Contents arrive as they were sent, both ways, over IPv4 and IPv6, in whatever receive mode the device's features give;
# packets of every kind of length pass; a device's MTU is taken over.
. "$(dirname "$0")/lib.sh"

MB=${MB:-$((10 / SLOW))}
plan 12
reach

# "4 of 4 queue pairs, mergeable mode", of the last binding
mode=$(dmesg | grep "$DRV $VDEV .*: .* mode" | tail -1 | sed 's/.*, //')
note "receive mode: ${mode:-unknown}; MTU $(mtu)"

# What the guest's device has been told to have or not, and the rings are different for.
begin
for option in indirect_desc:28 event_idx:29 iommu_platform:33 packed:34 in_order:35; do
	name=${option%:*} bit=${option#*:}
	case ,${FEATURES:-}, in
	*,$name=on,*) negotiated "$bit" || bad "$name isn't negotiated" ;;
	*,$name=off,*) negotiated "$bit" && bad "$name is negotiated" ;;
	esac
done
verdict "the rings are what the device offers"

if have_peer_service; then
	sum=$(blob "$WORK/blob" $((MB << 20)))
	for via in "$PEER" $PEER6; do
		begin
		out=$(upload "$WORK/blob" "$sum" "$via") || bad "$out"
		out=$(download $((MB << 20)) "$RANDOM" "$via") || bad "$out"
		verdict "$MB MB each way by way of $via"
	done
	[ "$PEER6" ] || skip "contents by way of IPv6" "PEER6 is not set"
else
	skip "contents by way of IPv4" "qemu-test/peer.py doesn't run there, or socat is missing"
	skip "contents by way of IPv6" "qemu-test/peer.py doesn't run there, or socat is missing"
fi

# A header and some bytes in a fragment: around the length up to which the driver puts them together.
if have_peer_service; then
	begin
	for n in 1 30 61 62 63 150; do
		sum=$(blob "$WORK/small" $((n * 40)))
		out=$(BLOCK=$n upload "$WORK/small" "$sum") || bad "in pieces of $n bytes: $out"
	done
	verdict "TCP in small segments"
else
	skip "TCP in small segments" "qemu-test/peer.py doesn't run there, or socat is missing"
fi

begin
for args in "-P 2" "-R -P 2"; do
	# shellcheck disable=SC2086
	iperf_start $args -t 1
	iperf_ok || bad "iperf3 $args: $(iperf_last)"
done
verdict "TCP both ways"

# Around the limits of buffers and descriptors, with a pattern that ping checks by itself (not with -q); and each length up to 300,
# where copying, padding and header splitting differ.
sizes() {
	seq "$1" "$2" | while read -r s; do
		ping -c 1 -W 5 -s "$s" -p a55a3c "${@:3}" "$PEER" >"$WORK/ping" && ! grep -qE 'wrong|truncated' "$WORK/ping" ||
			echo "$s bytes: $(grep -E 'transmitted|wrong|truncated' "$WORK/ping")"
	done
}
begin
while IFS= read -r l; do bad "$l"; done < <(sizes 0 20; sizes 96 112; sizes 210 230; sizes 980 996)
verdict "packets of many lengths"

m=$(mtu)
begin
while IFS= read -r l; do bad "$l"; done < <(sizes $((m - 36)) $((m - 28)) -M do)
ping -q -c 1 -W 1 -M do -s $((m - 27)) "$PEER" >/dev/null 2>&1 && bad "a packet one byte too long was sent"
verdict "packets up to the MTU of $m"

# Fragments: many packets of full size, back to back.
begin
while IFS= read -r l; do bad "$l"; done < <(for s in 4000 16000 60000 65000; do sizes $s $s; done)
verdict "fragmented packets"

begin
max_mtu=$(ip -d link show "$NETIF" | grep -o 'maxmtu [0-9]*' | cut -d' ' -f2)
host_mtu=$(grep -o 'host_mtu=[0-9]*' <<<"${FEATURES:-}" | cut -d= -f2)
if [ "$host_mtu" ]; then
	[ "$m" = "$host_mtu" ] || bad "the device's MTU is $host_mtu, the interface's $m"
	[ "$max_mtu" = "$host_mtu" ] || bad "the device's MTU is $host_mtu, the largest allowed $max_mtu"
	ip link set "$NETIF" mtu $((host_mtu + 1)) 2>/dev/null && bad "an MTU of $((host_mtu + 1)) was taken"
	[ "$(mtu)" = "$m" ] || bad "after that the MTU is $(mtu)"
	verdict "the device's MTU of $host_mtu is taken over, and the most allowed"
else
	[ "$m" = 1500 ] || bad "the MTU is $m"
	[ "$max_mtu" -ge 1500 ] || bad "the largest MTU is $max_mtu"
	verdict "the MTU is 1500, at most $max_mtu"
fi

# What a mergeable buffer offers to the device, as the in-tree driver shows it: one value for each receive queue.
page=$(page_size)
files=("/sys/class/net/$NETIF/queues/"rx-*/virtio_net/mergeable_rx_buffer_size)
begin
if negotiated 15; then
	[ "${#files[@]}" = "$(pairs)" ] || bad "${#files[@]} files for $(pairs) queues"
	for f in "${files[@]}"; do
		n=$(cat "$f")
		# No less than a frame; no more than a page.
		[[ $n =~ ^[0-9]+$ ]] && [ "$n" -ge 1518 ] && [ "$n" -le "$page" ] || bad "$f: $n"
	done
	note "mergeable_rx_buffer_size: $(cat "${files[@]}" | tr '\n' ' ')"
	verdict "mergeable_rx_buffer_size: one for each queue"
else
	[ ! -e "${files[0]}" ] || bad "${files[0]} without mergeable buffers"
	verdict "mergeable_rx_buffer_size: only with mergeable buffers"
fi

# What a packet of ordinary size takes up while nobody reads it, of what a socket may have: the same whatever the size of a page. Before
# that, so many small ones that all buffers are for them.
what="a packet of 1400 bytes takes up no more than 3 KiB"
udp_memory() { ss -uanm "sport = :7299" | sed -nE 's/.*skmem:\(r([0-9]+),.*/\1/p'; }
queued() { m=$(udp_memory) && [ "$m" ] && [ "$m" -ge $((20 * 1400)) ]; }
begin
if ! ours || [[ $mode == *big* ]] || ! have_peer_service; then
	skip "$what" "no peer, or buffers are for packets of any size"
elif [[ ${BACKEND:-} == testpmd* ]]; then
	skip "$what" "testpmd gives each of our pairs what the same one of the peer's sends, used or not"
else
	first=$(pairs)
	at_exit 'set_pairs $first'
	set_pairs 1
	ping -q -f -c 1500 -s 64 "$PEER" >"$WORK/ping" || bad "$(tail -2 "$WORK/ping")"
	socat -u UDP4-RECV:7299 - >/dev/null &
	reader=$!
	wait_for 10 eval '[ "$(udp_memory)" ]' || bad "no socket"
	kill -STOP $reader
	peer_request UDPSEND "$DUT_IP" 7299 20 1400 >/dev/null
	wait_for 10 queued || bad "the socket has only ${m:-0} bytes of what was sent"
	[ "${m:-0}" -le $((20 * 3072)) ] || bad "20 packets take up $m bytes"
	note "20 packets take up $m bytes"
	kill -KILL $reader
	set_pairs $first
	verdict "$what"
fi

begin
if ours; then
	for what in drop_length drop_num_buffers drop_header alloc_fail; do
		n=$(stat_sum "(rx|tx)[0-9]+_$what")
		[ "$n" = 0 ] || bad "$what: $n"
	done
fi
[ "$(if_stat rx_errors)/$(if_stat tx_errors)" = 0/0 ] || bad "errors: RX $(if_stat rx_errors), TX $(if_stat tx_errors)"
verdict "no errors counted"
finish
