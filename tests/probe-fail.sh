#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Each step of probe and of open that can fail is made to fail in turn, in a module built with VNM_FAILPOINTS=1. A failed
# probe leaves no interface and no interrupt, a failed open leaves the interface down; the next try, without a failure,
# works. A step whose failure the driver can live with (it falls back to less) must leave a working interface. So must a time
# without memory for receive buffers.
. "$(dirname "$0")/lib.sh"

ours || skip_all "the driver is $DRV, not virtio_net_mq"
fail_at=/sys/module/virtio_net_mq/parameters/fail_at
[ -e "$fail_at" ] || skip_all "this module is built without VNM_FAILPOINTS=1"
bind=/sys/bus/virtio/drivers/$DRV
LIMIT=${LIMIT:-300}
plan 7
at_exit configure
at_exit '[ -e $bind/$VDEV ] || echo $VDEV >$bind/bind'
at_exit 'echo 0 >$fail_at'
mark_log

bound() { [ -e "$bind/$VDEV" ]; }
interrupts() { grep -c "$VDEV-" /proc/interrupts; }
# The step was reached: the driver made it fail and says so.
hit() { [ "$(cat $fail_at)" = -1 ]; }

begin
failed=0 survived=0 n=0
echo "$VDEV" >"$bind/unbind" || bad "unbind failed"
while ((++n <= LIMIT)); do
	echo "$n" >"$fail_at"
	echo "$VDEV" >"$bind/bind" 2>/dev/null
	hit || break
	if bound; then
		survived=$((survived + 1))
		configure && reach || bad "step $n: bound, but nothing gets through"
		echo "$VDEV" >"$bind/unbind"
	else
		failed=$((failed + 1))
		[ "$(interrupts)" = 0 ] || bad "step $n: $(interrupts) interrupts are left"
		[ -e "/sys/bus/virtio/devices/$VDEV/net" ] && bad "step $n: an interface is left"
	fi
done
note "$((n - 1)) steps: $failed make probe fail, $survived don't"
((n <= LIMIT)) || bad "no end after $LIMIT steps"
((failed >= 10)) || bad "only $failed steps failed: is the injection at work?"
verdict "probe undoes what it did, whatever fails"

begin
echo 0 >"$fail_at"
bound || echo "$VDEV" >"$bind/bind" || bad "bind failed"
configure && reach || bad "nothing gets through"
verdict "after all that it works"

begin
failed=0 n=0
while ((++n <= LIMIT)); do
	ip link set "$NETIF" down
	echo "$n" >"$fail_at"
	ip link set "$NETIF" up 2>/dev/null && { hit || break; }
	hit && failed=$((failed + 1))
	echo 0 >"$fail_at"
	configure && reach || bad "step $n: not usable afterwards"
done
note "$((n - 1)) steps of open"
((n <= LIMIT)) || bad "no end after $LIMIT steps"
((failed > 0)) || bad "nothing failed: is the injection at work?"
verdict "open undoes what it did, whatever fails"

begin
echo 0 >"$fail_at"
max=$(max_pairs) n=0 refused=0
if [ "$max" -gt 1 ]; then
	while ((++n <= LIMIT)); do
		set_pairs 1 || bad "step $n: -L 1 failed"
		echo "$n" >"$fail_at"
		ethtool -L "$NETIF" combined "$max" 2>/dev/null
		rc=$?
		hit || break
		echo 0 >"$fail_at"
		if [ $rc != 0 ]; then
			refused=$((refused + 1))
			[ "$(pairs)" = 1 ] || bad "step $n: refused, but now $(pairs) pairs"
		fi
		reach || bad "step $n: nothing gets through"
	done
	note "$((n - 1)) steps of -L, $refused refused"
	((n > 1)) || bad "nothing failed: is the injection at work?"
	((n <= LIMIT)) || bad "no end after $LIMIT steps"
	verdict "-L leaves the old count in force, whatever fails"
else
	skip "-L leaves the old count in force, whatever fails" "one queue pair"
fi

# A device without a buffer interrupts for nothing: once there is memory again, the driver has to find that out by itself.
begin
echo 0 >"$fail_at"
no_memory=/sys/module/virtio_net_mq/parameters/no_memory
at_exit 'echo N >$no_memory'
first=$(pairs)
set_pairs 1 && reach || bad "nothing gets through with one pair"
failed=$(stat rx0_alloc_fail)
echo Y >"$no_memory"
empty() {
	ping -q -f -c 300 -w 10 "$PEER" >/dev/null
	! ping -q -c 2 -W 2 "$PEER" >/dev/null
}
wait_for 60 empty || bad "packets are received without memory for them"
[ "$(stat rx0_alloc_fail)" -gt "$failed" ] || bad "no failure is counted"
echo N >"$no_memory"
reach || bad "nothing is received once there is memory again"
set_pairs "$first"
verdict "a ring that ran empty for want of memory is filled again"

# A reset that fails is tried again; when nothing is to be hoped for soon there is no carrier; then it works again by itself.
begin
pci=$(readlink -f "/sys/bus/virtio/devices/$VDEV/..")
if [ ! -e "$pci/reset" ]; then
	skip "a reset that fails" "the function can't be reset"
else
	(while [ ! -e "$WORK/works" ]; do
		[ "$(cat "$fail_at")" = 1 ] || echo 1 >"$fail_at"
		nap 0.02
	done) &
	wait_for 10 eval '[ "$(cat $fail_at)" = 1 ]'
	echo 1 >"$pci/reset" 2>/dev/null
	wait_for 60 no_carrier || bad "there still is a carrier: $(log_since | tail -3)"
	wait_for 10 eval 'log_since | grep -q "time: no carrier; trying again"' || bad "the log doesn't say so: $(log_since | tail -3)"
	touch "$WORK/works"
	wait $!
	echo 0 >"$fail_at"
	wait_for 90 carrier || bad "no carrier though nothing fails any more"
	reach || bad "nothing gets through"
	verdict "a reset that fails is tried again, at last without a carrier"
fi

begin
echo 0 >"$fail_at"
configure && reach || bad "nothing gets through"
[ -z "$(log_problems)" ] || bad "$(log_problems | head -3)"
verdict "usable at the end, no complaint in the kernel log"
finish
