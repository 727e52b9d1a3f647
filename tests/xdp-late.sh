#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The device is late with its answer to what a program wants of it, or to what is wanted once there is none (test device). Afterwards it
# has the receive offloads that the interface shows.
. "$(dirname "$0")/lib.sh"
. "$HERE/xdp/lib.sh"

on_testdev || skip_all "not on the test device"
negotiated 2 || skip_all "the device's offloads can't be switched"
ours || skip_all "the driver is $DRV, not virtio_net_mq"
plan 4
mark_log
timeout=/sys/module/virtio_net_mq/parameters/ctrl_timeout_ms
at_exit 'dev release; echo 10000 >$timeout'
# Nothing was ever switched: a new binding.
dir=$(readlink -f "/sys/class/net/$NETIF/device/driver")
echo "$VDEV" >"$dir/unbind" && echo "$VDEV" >"$dir/bind" && configure || skip_all "the driver isn't bound again"
# Of what was negotiated those bits that are offloads: checksums, TSO, ECN, UFO, USO.
offloads() { printf '%#x' $(($(dev stat offloads) & 0xc0000000000782)); }
has() { [ "$(offloads)" = "$1" ]; }
first=$(offloads)
gro=$(feature rx-gro-hw)
shows() { [ "$(feature rx-gro-hw)" = "$1" ]; }
# There is nobody at the device, for as long as a command waits for an answer.
silent() { echo 200 >$timeout; dev hold; }
speaks() { echo 10000 >$timeout; dev release; }

begin
has 0 && bad "the device has no offloads at first"
silent
attach pass && bad "a program is attached, though the device doesn't answer"
speaks
wait_for 10 has "$first" || bad "afterwards the device has the offloads $(offloads), not $first"
shows "$gro" || bad "rx-gro-hw is $(feature rx-gro-hw), not $gro"
reach || bad "no answer to ping"
verdict "a program that isn't attached leaves the offloads as they were"

begin
attach pass || bad "$(said)"
wait_for 10 has 0 || bad "with a program the device has the offloads $(offloads)"
silent
detach
speaks
wait_for 10 has "$first" || bad "afterwards the device has the offloads $(offloads), not $first"
wait_for 10 shows "$gro" || bad "rx-gro-hw is $(feature rx-gro-hw), not $gro"
reach || bad "no answer to ping"
verdict "once the program is gone the offloads are back"

# Where the user wants no merged packets it is checksums alone, which are switched on by the driver itself.
begin
ethtool -K "$NETIF" rx-gro-hw off || bad "rx-gro-hw stays on"
less=$(offloads)
has 0 && bad "without merged packets no offload is left"
attach pass || bad "$(said)"
wait_for 10 has 0 || bad "with a program the device has the offloads $(offloads)"
silent
detach
[ "$(log_since | grep -c 'goes on without checksums')" = 1 ] || bad "the log doesn't say that there are no checksums"
speaks
wait_for 10 has "$less" || bad "afterwards the device has the offloads $(offloads), not $less"
ethtool -K "$NETIF" rx-gro-hw "$gro" || bad "rx-gro-hw doesn't come back"
wait_for 10 has "$first" || bad "in the end the device has the offloads $(offloads), not $first"
reach || bad "no answer to ping"
verdict "so are checksums, and the log says that they are missing meanwhile"

begin
nothing_said
verdict "no complaint in the kernel log"
finish
