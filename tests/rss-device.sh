#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Receive-side scaling on the test device (qemu-test/device), which offers keys, tables and hash types that make no sense,
# refuses commands, and looks at what the driver makes of that.
. "$(dirname "$0")/lib.sh"

on_testdev || skip_all "not on the test device"
negotiated 60 && negotiated 57 || skip_all "the device is one without RSS or hash reports"

yes_no() { "$@" && echo yes || echo no; }
bind() {
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/unbind" || bad "unbind"
	dev set rss_key "$1" && dev set rss_table "$2" && dev set hash_types "$3" || bad "the device doesn't take $*"
	echo "$VDEV" >"/sys/bus/virtio/drivers/$DRV/bind" || bad "bind with $*"
	configure || bad "the interface doesn't come up with $*"
}
at_exit 'bind 40 128 0x3f'
# What TCP over IPv4 is hashed over: the number of fields, or nothing.
tcp4() { ethtool -n "$NETIF" rx-flow-hash tcp4 2>/dev/null | grep -cE '^(IP|L4)'; }

plan 7

# KEY TABLE TYPES, then what comes of it: RSS, reports, entries, bytes of the key, fields of TCP over IPv4.
begin
while read -r key table types want; do
	bind "$key" "$table" "$types"
	got="$(yes_no negotiated 60) $(yes_no negotiated 57) $(indir | wc -w) $(key | tr : '\n' | grep -c .) $(tcp4)"
	[ "$got" = "$want" ] || bad "key $key, table $table, types $types: $got instead of $want"
	max=$(max_pairs)
	[ "$max" = "$QUEUES" ] || bad "key $key, table $table, types $types: $max pairs of $QUEUES"
	for n in 1 "$max"; do
		set_pairs "$n" || bad "key $key, table $table, types $types: $n pairs refused"
		reach || bad "key $key, table $table, types $types: no answer to ping with $n pairs"
	done
done <<-END
	40 128 0x3f yes yes 128 40 4
	255 65535 0xffffffff yes yes 8192 40 4
	41 100 0x3f yes yes 64 40 4
	40 1 0x3f yes yes 1 40 4
	40 128 0x9 yes yes 128 40 2
	40 128 0x12 yes yes 128 40 4
	40 0 0x3f no yes 0 40 4
	39 128 0x3f no no 0 0 0
	0 128 0x3f no no 0 0 0
	40 128 0x1c0 no no 0 0 0
END
verdict "keys, tables and hash types of all sorts"

begin
bind 40 128 0x9
ethtool -N "$NETIF" rx-flow-hash tcp4 sdfn 2>/dev/null && bad "a hash that the device doesn't have was taken"
[ "$(tcp4)" = 2 ] || bad "then $(tcp4) fields"
bind 40 128 0x3f
dev violations >"$WORK/v"
[ "$(head -1 "$WORK/v")" = 0 ] || bad "rules broken: $(cat "$WORK/v")"
verdict "nothing was asked of the device that it doesn't have"

# From here on it refuses whatever has more than one type, and would note that as ours.
begin
k=$(key) t=$(indir)
dev set hash_types 1 || bad "no hash types"
refused() {
	"$@" >/dev/null 2>&1 && bad "$* was taken"
	[ "$(key)" = "$k" ] || bad "$*: the key has changed"
	[ "$(indir)" = "$t" ] || bad "$*: the table has changed"
	[ "$(tcp4)/$(pairs)" = "4/$QUEUES" ] || bad "$*: $(tcp4) fields, $(pairs) pairs"
	reach || bad "$*: no answer to ping"
}
refused ethtool -X "$NETIF" hkey "$(printf 'a5:%.0s' {1..39})5a"
refused ethtool -X "$NETIF" equal 1
refused ethtool -N "$NETIF" rx-flow-hash tcp4 sd
refused ethtool -L "$NETIF" combined 1
dev set hash_types 0x3f || bad "no hash types"
dev violations clear >/dev/null
# What is in force is sent once more, as a device may stop hashing when it refuses.
if ours; then
	dev refuse 4 1 1
	taken=$(dev stat commands_ok)
	refused ethtool -X "$NETIF" equal 1
	dev refuse
	taken=$(($(dev stat commands_ok) - taken))
	[ $taken = 1 ] || bad "after one that was refused the device took $taken commands"
fi
ethtool -X "$NETIF" equal 1 || bad "refused when the device takes it again"
set_pairs 2 || bad "2 pairs refused"
[ "$(indir | tr -d '0 ')" = "" ] || bad "equal 1: $(indir)"
ethtool -X "$NETIF" default || bad "default refused"
set_pairs "$QUEUES" || bad "$QUEUES pairs refused"
verdict "what the device refuses changes nothing"

# What is refused at probe is gone for good, and what is told of it is what there is.
begin
feature_of() { ethtool -k "$NETIF" | sed -nE 's/^receive-hashing: //p'; }
at_exit 'dev refuse'
while read -r table refuse want; do
	mark_log
	# shellcheck disable=SC2086
	dev refuse ${refuse/\// }
	bind 40 "$table" 0x3f
	dev refuse
	got="$(pairs) $(feature_of | tr ' ' _) $(indir | wc -w) $(ethtool -x "$NETIF" 2>&1 | grep -c 'toeplitz: on')"
	[ "$got" = "$want" ] || bad "table $table, $refuse refused: $got instead of $want"
	told=$(log_since | sed -nE 's/.* ([0-9]+) of [0-9]+ queue pairs, .*/\1/p')
	! ours || [ "$told" = "$(pairs)" ] || bad "table $table, $refuse refused: the log says ${told:-nothing}, there are $(pairs) pairs"
	reach || bad "table $table, $refuse refused: no answer to ping"
	# As a device that lacks it: what there is to see is there, what there is to change isn't.
	case $got in
	*off*)
		ethtool -n "$NETIF" rx-flow-hash tcp4 >/dev/null 2>&1 || bad "$refuse refused: no answer what TCP is hashed over"
		[ "$(tcp4)" = 0 ] || bad "$refuse refused: $(tcp4) fields of TCP"
		ethtool -X "$NETIF" hfunc toeplitz >/dev/null 2>&1 || bad "$refuse refused: the hash function that there is was refused"
		for what in "equal 1" "hkey $(printf 'a5:%.0s' {1..39})5a" "hfunc xor"; do
			# shellcheck disable=SC2086
			ethtool -X "$NETIF" $what >/dev/null 2>&1 && bad "$refuse refused: -X $what was taken"
		done
		ethtool -N "$NETIF" rx-flow-hash tcp4 sd >/dev/null 2>&1 && bad "$refuse refused: -N was taken"
		ethtool -K "$NETIF" rxhash on >/dev/null 2>&1
		[ "$(feature_of)" = "off [fixed]" ] || bad "$refuse refused: after -K rxhash on it is $(feature_of)"
		;;
	esac
done <<-END
	128 4 1 off_[fixed] 0 1
	128 4/1 $QUEUES off_[fixed] 0 1
	0 4/2 $QUEUES off_[fixed] 0 1
	128 9 $QUEUES on 128 1
END
bind 40 128 0x3f
set_pairs "$QUEUES"
verdict "what the device refuses at probe isn't there, and the log says how many pairs are in use"

# With one pair nothing is left of a table for more.
begin
pci=$(readlink -f "/sys/bus/virtio/devices/$VDEV/..")
if ours && [ -e "$pci/reset" ]; then
	bind 40 128 0x3f
	ethtool -X "$NETIF" equal 2 || bad "equal 2 refused"
	dev refuse 4
	echo 1 >"$pci/reset" || bad "no reset"
	one_pair() { [ "$(pairs)" = 1 ]; }
	wait_for 10 one_pair || bad "$(pairs) pairs that the device refuses"
	dev refuse
	[ "$(indir | tr -d '0 ')" = "" ] || bad "one pair, and the table is $(indir)"
	reach || bad "no answer to ping with one pair"
	set_pairs "$QUEUES" || bad "$QUEUES pairs refused"
	[ "$(indir | tr ' ' '\n' | sort -u | grep -c .)" = "$QUEUES" ] || bad "$QUEUES pairs, and the table is $(indir)"
	reach || bad "no answer to ping"
	verdict "the user's table goes with the queues that the device refuses after a reset"
else
	skip "the user's table goes with the queues that the device refuses after a reset" "not this driver, or no reset of the device"
fi

begin
answered 50 -i 0.01 -s 1400 "$PEER" || bad "not each of 50 pings is answered"
reach6 || bad "no answer to ping over IPv6"
dev violations >"$WORK/v"
[ "$(head -1 "$WORK/v")" = 0 ] || bad "rules broken: $(cat "$WORK/v")"
verdict "packets with hashes; the device sees no rule broken"

# Devices that steer by hash are told of all receive queues after one ran short of buffers, and only then.
begin
rings=$(ring RX 2)
count_of() { dev stat "$1"; }
told() { [ "$(count_of rx1.kicks)" -gt "$k" ]; }
all_came() { [ "$(stat rx0_packets)" -ge $((p + $1)) ]; }
if ! ours; then
	skip "all are notified when one ran short, and only then" "the driver $DRV has no such rule"
elif [ "$rings" -lt 256 ]; then
	skip "all are notified when one ran short, and only then" "rings of $rings"
else
	ethtool -X "$NETIF" equal 1 || bad "equal 1 refused"
	part=$((rings * 5 / 16))
	k=$(count_of rx1.kicks) p=$(stat rx0_packets)
	for ((i = 1; i <= 10; i++)); do
		# More than a poll may take.
		dev gen $part 64 0 9 || bad "no burst"
		wait_for 5 all_came $((i * part)) || bad "$(($(stat rx0_packets) - p)) packets of $((i * part)) came"
		sleep 0.15
	done
	n=$(($(count_of rx1.kicks) - k))
	note "ten bursts of $part in a ring of $rings: an idle queue was notified $n times"
	[ $n -le 2 ] || bad "an idle queue was notified $n times for bursts that left buffers"
	k=$(count_of rx1.kicks)
	dev gen $((rings * 2)) 64 0 9 || bad "no burst"
	wait_for 10 told || bad "an overflow of queue 0 didn't have queue 1 notified"
	ethtool -X "$NETIF" default
	verdict "all are notified when one ran short, and only then"
fi
finish
