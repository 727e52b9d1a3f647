#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Two kinds of packets that are segmented, or left whole, beside plain TCP's: UDP of several datagrams (USO), received; and TCP
# whose first segment has CWR set (the ECN bit), sent and received. That they travel in one piece is seen by tcpdump, that they
# are what they say by the number of datagrams and by contents.
. "$(dirname "$0")/lib.sh"

have_peer_service || skip_all "qemu-test/peer.py doesn't run on the peer, or socat is missing"
[ "$PEER6" ] || skip_all "PEER6 is not set"
GUEST_ECN=9 HOST_ECN=13 GUEST_USO4=54 GUEST_USO6=55
mtu=$(mtu)
plan 4
reach
reach6

# --- UDP ----------------------------------------------------------------------------------------------------------------

N=200 SIZE=1000 EACH=20 PORT=7201
echo $((64 << 20)) >/proc/sys/net/core/rmem_max
in_datagrams() { awk '$1 == "Udp:" && $2 ~ /^[0-9]/ { print $2 }' /proc/net/snmp; }
in_datagrams6() { awk '$1 == "Udp6InDatagrams" { print $2 }' /proc/net/snmp6; }
arrived() { [ "$(wc -c <"$WORK/got")" -ge $((N * SIZE)) ]; }
# uso FAMILY: what came of N datagrams; the longest that tcpdump saw in $LONGEST. Rarely it is deaf to all that arrives, perhaps
# as it sets a filter that lets nothing pass before its own, and an emulated CPU goes on with the code of that. Another has other code.
uso() {
	local i
	for i in 1 2 3; do
		uso_once "$1"
		[ ! "$LONGEST" ] || return
		note "IPv$1: tcpdump saw nothing of what arrived: $(tail -1 "$WORK/dump.err")"
	done
}
uso_once() {
	local to=$DUT_IP counter=in_datagrams n told pid
	[ "$1" = 4 ] || { to=$DUT_IP6 counter=in_datagrams6; }
	rm -f "$WORK/got"
	socat -u -b 65536 "UDP$1-RECV:$PORT,rcvbuf=$((32 << 20))" "CREATE:$WORK/got" 2>/dev/null & pid=$!
	wait_for 10 bound
	wait_for 10 test -e "$WORK/got"
	dump "$WORK/dump" -i "$NETIF" udp port $PORT
	n=$($counter)
	told=$(peer_request USOSEND "$to" $PORT $N $SIZE $EACH $RANDOM)
	wait_for 20 arrived
	dump_end
	kill $pid
	wait $pid 2>/dev/null
	n=$(($($counter) - n))
	[ "$n $(sha256sum "$WORK/got" | cut -d' ' -f1)" = "$told" ] || bad "IPv$1: $n datagrams, $(wc -c <"$WORK/got") bytes; sent were ${told%% *}, or other contents"
	LONGEST=$(sed -nE 's/.*, length ([0-9]+)$/\1/p' "$WORK/dump" | sort -n | tail -1)
}
bound() { ss -lnu | grep -q ":$PORT"; }

gro_hw=$(feature rx-gro-hw)
if ! negotiated $GUEST_USO4 || ! negotiated $GUEST_USO6; then
	skip "UDP of several datagrams is received" "the device doesn't offer it"
else
	begin
	seen=
	for f in 4 6; do
		uso $f
		[ "${LONGEST:-0}" = $((EACH * SIZE)) ] || bad "IPv$f: the longest packet has ${LONGEST:-no} bytes of UDP"
		seen+=" $LONGEST"
		[ "$gro_hw" = on ] || continue
		# GRO makes packets of several datagrams only for who asks for them.
		ethtool -K "$NETIF" rx-gro-hw off || bad "rx-gro-hw off was refused"
		uso $f
		[ "${LONGEST:-0}" = $SIZE ] || bad "IPv$f, rx-gro-hw off: the longest packet has ${LONGEST:-no} bytes of UDP"
		seen+=" $LONGEST"
		ethtool -K "$NETIF" rx-gro-hw on || bad "rx-gro-hw on was refused"
	done
	note "longest packets, with rx-gro-hw on and off: $seen"
	verdict "UDP of several datagrams is received"
fi

# --- ECN ----------------------------------------------------------------------------------------------------------------

# One packet in 25 is marked as from a congested router; the receiver says so, and the sender answers with CWR in its
# next segment.
MARK="netem loss 4% ecn limit 20000"
BYTES=$((1 << 20)) TRIES=8
ecn=$(</proc/sys/net/ipv4/tcp_ecn)
at_exit 'echo $ecn >/proc/sys/net/ipv4/tcp_ecn'
at_exit 'tc qdisc del dev $NETIF root; tc qdisc del dev $NETIF clsact; ip link del ifb7; ethtool -K $NETIF gro on'
# Packets with CWR that aren't SYNs: all, and those longer than a segment. (IPv6 has no name for the flags in a filter.)
CWR="((ip and tcp[13] & 0x82 == 0x80) or (ip6 and ip6[6] == 6 and ip6[53] & 0x82 == 0x80)) and port 7000"
cwr() { sed -nE 's/.*, length ([0-9]+).*/\1/p' "$WORK/dump" | awk -v m=$((mtu - 40)) '{ n++ } $1 > m { l++ } END { printf "%d %d\n", n, l }'; }
# with_ecn DIRECTION ADDRESS COMMAND…: what of its packets had CWR, all and long ones, in $SEEN. It is by chance, so tried again.
with_ecn() {
	local d=$1 via=$2 enough=$3 i out
	shift 3
	dump "$WORK/dump" -i "$NETIF" -Q "$d" "$CWR"
	for ((i = 0; i < TRIES; i++)); do
		out=$("$@" "$via") || { bad "$via: $out"; break; }
		SEEN=$(cwr)
		[ "${SEEN% *}" -ge 3 ] && [ "${SEEN#* }" -ge "$enough" ] && break
		# Is it by chance, or is tcpdump deaf (see uso)?
		[ "$SEEN" != "0 0" ] || { dump_end; dump "$WORK/dump" -i "$NETIF" -Q "$d" "$CWR"; }
	done
	dump_end
	SEEN=$(cwr)
}
sum=$(blob "$WORK/blob" $BYTES)
send() { upload "$WORK/blob" "$sum" "$1"; }
get() { download $BYTES $RANDOM "$1"; }

if ! modprobe sch_netem 2>/dev/null; then
	skip "TCP with CWR is segmented by the device" "there is no netem"
	skip "TCP with CWR is segmented by the kernel" "there is no netem"
elif ! tc qdisc replace dev "$NETIF" root $MARK || ! echo 1 >/proc/sys/net/ipv4/tcp_ecn; then
	begin
	bad "netem or ECN can't be set"
	verdict "TCP with CWR is segmented by the device"
	skip "TCP with CWR is segmented by the kernel" "as above"
else
	if ! negotiated $HOST_ECN; then
		skip "TCP with CWR is segmented by the device" "the device doesn't offer it"
	else
		begin
		[ "$(feature tx-tcp-ecn-segmentation)" = on ] || bad "tx-tcp-ecn-segmentation is $(feature tx-tcp-ecn-segmentation)"
		for via in "$PEER" "$PEER6"; do
			with_ecn out "$via" 1 send
			note "$via: packets sent with CWR: ${SEEN% *}, ${SEEN#* } of them long"
			[ "${SEEN#* }" -gt 0 ] || bad "$via: of ${SEEN% *} packets with CWR none was longer than a segment"
		done
		verdict "TCP with CWR is segmented by the device"
	fi
	begin
	ethtool -K "$NETIF" tx-tcp-ecn-segmentation off 2>/dev/null
	for via in "$PEER" "$PEER6"; do
		with_ecn out "$via" 0 send
		note "$via, off: packets sent with CWR: ${SEEN% *}, ${SEEN#* } of them long"
		[ "${SEEN% *}" -gt 0 ] || bad "$via, off: no packet with CWR was sent"
		[ "${SEEN#* }" = 0 ] || bad "$via, off: ${SEEN#* } packets with CWR were longer than a segment"
	done
	! negotiated $HOST_ECN || ethtool -K "$NETIF" tx-tcp-ecn-segmentation on || bad "tx-tcp-ecn-segmentation on was refused"
	verdict "TCP with CWR is segmented by the kernel"
	tc qdisc del dev "$NETIF" root
fi

if ! negotiated $GUEST_ECN; then
	skip "TCP with CWR is received in one piece" "the device doesn't offer it"
elif ! modprobe sch_netem 2>/dev/null || ! modprobe ifb 2>/dev/null; then
	skip "TCP with CWR is received in one piece" "there is no netem or no ifb"
else
	begin
	# Without GRO, which would make long packets, too.
	ethtool -K "$NETIF" gro off
	ip link add ifb7 type ifb && ip link set ifb7 up && tc qdisc add dev ifb7 root $MARK && tc qdisc add dev "$NETIF" clsact &&
		tc filter add dev "$NETIF" ingress matchall action mirred egress redirect dev ifb7 || bad "what comes in can't be marked"
	for via in "$PEER" "$PEER6"; do
		with_ecn in "$via" 1 get
		note "$via: packets received with CWR: ${SEEN% *}, ${SEEN#* } of them long"
		[ "${SEEN#* }" -gt 0 ] || bad "$via: of ${SEEN% *} packets with CWR none was longer than a segment"
	done
	verdict "TCP with CWR is received in one piece"
fi
finish
