#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The drivers of samples/: each is loaded, does what it is for, and is unloaded. SAMPLES is the directory with their modules.
. "$(dirname "$0")/lib.sh"

[ "${SAMPLES:-}" ] || skip_all "SAMPLES is not set"
plan 5
at_exit 'rmmod rust_dummy; rmmod rust_loopback; rmmod rust_virtio_rng; ip netns del left; ip netns del right'

# counter INTERFACE NAME
counter() { cat "/sys/class/net/$1/statistics/$2"; }

# --- dummy: counts and drops ---

begin
insmod "$SAMPLES/rust_dummy.ko" || bad "insmod: $?"
ip link set rsdummy0 up && ip addr add 198.51.100.1/24 dev rsdummy0 || bad "not up"
ip neigh add 198.51.100.2 lladdr 02:00:00:00:00:02 dev rsdummy0
before=$(counter rsdummy0 tx_packets) bytes=$(counter rsdummy0 tx_bytes)
ping -q -c 10 -i 0.01 -s 100 -W 1 198.51.100.2 >/dev/null && bad "somebody answered"
sent=$(($(counter rsdummy0 tx_packets) - before)) bytes=$(($(counter rsdummy0 tx_bytes) - bytes))
[ $sent -ge 10 ] || bad "$sent packets were counted"
# 142: with the headers of Ethernet, IP and ICMP.
[ $bytes -ge 1420 ] || bad "$bytes bytes were counted"
[ "$(counter rsdummy0 rx_packets)" = 0 ] || bad "something was received"
ip link set rsdummy0 address 02:00:00:00:00:01 || bad "the address can't be changed"
ip link set rsdummy0 mtu 1000 || bad "the MTU can't be changed"
ip link set rsdummy0 mtu 1501 2>/dev/null && bad "an MTU of 1501 was taken"
ethtool rsdummy0 >/dev/null || bad "ethtool: $?"
ethtool -g rsdummy0 >/dev/null 2>&1 && bad "it has rings"
ip link set rsdummy0 down || bad "not down"
rmmod rust_dummy || bad "rmmod: $?"
[ -e /sys/class/net/rsdummy0 ] && bad "it is still there"
verdict "dummy: counts what it drops"

# --- loopback: what one end sends the other receives ---

left() { ip netns exec left "$@"; }
right() { ip netns exec right "$@"; }
pinged() { left ping -q -c 1 -W 1 198.51.100.2 >/dev/null; }

begin
insmod "$SAMPLES/rust_loopback.ko" || bad "insmod: $?"
ip netns add left && ip link set rsloop0 netns left || bad "no namespace"
ip netns add right && ip link set rsloop1 netns right || bad "no namespace"
left ip addr add 198.51.100.1/24 dev rsloop0
right ip addr add 198.51.100.2/24 dev rsloop1
left ip link set rsloop0 up || bad "not up"
pinged && bad "an end that is down answers"
right ip link set rsloop1 up || bad "not up"
wait_for 10 pinged || bad "no answer"
left ping -q -f -c 1000 -s 1400 198.51.100.2 | grep -q ' 0% packet loss' || bad "packets are lost"
verdict "loopback: the other end answers"

begin
right iperf3 -s -D -I "$WORK/iperf3.pid" >/dev/null || bad "no server"
at_exit 'kill "$(cat $WORK/iperf3.pid)"'
for how in "" -R "-P 4" --bidir; do
	left iperf3 -c 198.51.100.2 -t 2 -i 0 --connect-timeout 5000 $how >"$WORK/iperf3.log" 2>&1 ||
		bad "iperf3 $how: $(tail -1 "$WORK/iperf3.log")"
done
for c in rx_errors tx_errors rx_dropped; do
	for n in "left rsloop0" "right rsloop1"; do
		set -- $n
		v=$(ip netns exec "$1" cat "/sys/class/net/$2/statistics/$c")
		[ "$v" = 0 ] || bad "$2: $c is $v"
	done
done
verdict "loopback: TCP in both directions"

begin
for i in 1 2 3; do
	left iperf3 -c 198.51.100.2 -t 20 -i 0 --connect-timeout 5000 >/dev/null 2>&1 &
	client=$!
	sleep 0.5
	right ip link set rsloop1 down
	sleep 0.2
	right ip link set rsloop1 up
	wait_for 10 pinged || bad "turn $i: no answer after down and up"
	kill $client 2>/dev/null
	wait $client 2>/dev/null
done
left ping -q -f -w 20 198.51.100.2 >/dev/null 2>&1 &
sleep 0.3
rmmod rust_loopback || bad "rmmod: $?"
kill $! 2>/dev/null
wait $! 2>/dev/null
verdict "loopback: down, up and unload under traffic"

# --- virtio_rng: bytes of the host ---

begin
sys=/sys/class/misc/hw_random
# Built in as a rule.
modprobe -q rng_core
insmod "$SAMPLES/rust_virtio_rng.ko" || bad "insmod: $?"
name=$(tr ' ' '\n' <$sys/rng_available | grep '^virtio_rng\.') || bad "none: $(cat $sys/rng_available)"
echo "$name" >$sys/rng_current || bad "can't be chosen"
for i in 1 2; do
	timeout 20 head -c 3000 /dev/hwrng >"$WORK/bytes.$i" || bad "turn $i: $?"
	[ "$(wc -c <"$WORK/bytes.$i")" = 3000 ] || bad "turn $i: too few bytes"
done
cmp -s "$WORK/bytes.1" "$WORK/bytes.2" && bad "the same bytes twice"
# 3000 random bytes don't get much shorter.
[ "$(gzip -c "$WORK/bytes.1" | wc -c)" -gt 2900 ] || bad "the bytes aren't random"
timeout 20 cat /dev/hwrng >/dev/null &
sleep 0.3
rmmod rust_virtio_rng || bad "rmmod: $?"
kill $! 2>/dev/null
wait $! 2>/dev/null
grep -q "$name" $sys/rng_available && bad "it is still there"
verdict "virtio_rng: random bytes, unload while they are read"

finish
