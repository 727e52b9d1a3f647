#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device that asks for a reset (DEVICE_NEEDS_RESET) gets it, with everything set up as it was, but not again and again.
# QEMU's device asks when a ring's index has jumped; that is brought about behind the driver's back, by writing another place
# for the ring into the device's registers: the firmware's ROM. The guest must be started with iomem=relaxed for that.
. "$(dirname "$0")/lib.sh"

ours || skip_all "the in-tree driver ignores the request"
devmem() { busybox devmem "$@"; }
busybox devmem 2>&1 | grep -q -i usage || skip_all "busybox has no devmem"
grep -q iomem=relaxed /proc/cmdline || skip_all "the kernel isn't started with iomem=relaxed"
pci=$(basename "$(readlink -f "/sys/bus/virtio/devices/$VDEV/..")")
# The modern registers of QEMU's device: bar 4, the common configuration at its start (specification 4.1.4.3).
bar=$(sed -n 5p "/sys/bus/pci/devices/$pci/resource" | cut -d' ' -f1)
[ $((bar)) -gt 0 ] || skip_all "the device has no BAR 4"
status=$(devmem $((bar + 20)) 8 2>&1)
[ "$status" = 0x0F ] || skip_all "the device's status reads $status"

# A page of the ROM that makes an available ring whose index (16 bits, at 2) is far from any that the driver is at.
rom=
for ((a = 0xfffff000; a >= 0xfffc0000; a -= 4096)); do
	[ $(($(devmem $((a + 2)) 16))) -ge 40000 ] && { rom=$a; break; }
done
[ "$rom" ] || skip_all "the firmware has no page that makes a broken ring"

# The available ring of queue 1 (output.0) is said to be there, the queue to be enabled once more; the next packet shows.
break_it() {
	devmem $((bar + 22)) 16 1
	devmem $((bar + 40)) 32 "$rom"
	devmem $((bar + 44)) 32 0
	devmem $((bar + 28)) 16 1
	# From a CPU that sends there.
	taskset -c "$(cpu_of 0)" ping -q -c 2 -i 0.2 -W 1 "$PEER" >/dev/null 2>&1
}
asks() { log_since | grep -c 'asks for a reset; resetting it'; }
plan 6
at_exit 'ip link del link "$NETIF" name "$NETIF.5"'
ip link add link "$NETIF" name "$NETIF.5" type vlan id 5
mac=$(mac) pairs=$(pairs)
reach

begin
mark_log
started=$SECONDS
break_it
wait_for 20 eval '[ "$(asks)" = 1 ]' || bad "the driver doesn't notice: $(log_since | tail -2)"
wait_for 20 reach || bad "no answer to ping afterwards"
[ "$(pairs)" = "$pairs" ] || bad "$(pairs) pairs, not $pairs"
[ "$(mac)" = "$mac" ] || bad "the address is $(mac)"
[ "$(devmem $((bar + 20)) 8)" = 0x0F ] || bad "status $(devmem $((bar + 20)) 8)"
if [ "$(rx_filter vlan)" ] && have_hostctl; then
	rx_filter vlan-table | grep -q 5 || bad "VLANs: $(rx_filter vlan-table)"
fi
verdict "the device is reset and works"

begin
iperf_start -t 3 -P 4 --bidir
sleep 1
break_it
wait_for 20 eval '[ "$(asks)" = 2 ]' || bad "the driver doesn't notice: $(log_since | tail -2)"
wait "$IPERF_PID"
wait_for 20 reach || bad "no answer to ping afterwards"
verdict "under traffic"

# The limit is three in 60 seconds; on a machine on which this takes longer there may be more.
begin
for ((i = 0; i < 30; i++)); do
	log_since | grep -q 'again and again' && break
	break_it
	sleep 1
done
log_since | grep -q 'again and again' || bad "the log doesn't say that the rest is ignored"
n=$(asks)
[ "$n" -ge 3 ] && [ "$n" -le $((3 * (1 + (SECONDS - started) / 60))) ] || bad "$n resets in $((SECONDS - started)) s"
verdict "three resets a minute, no more"

# Whoever has another link is to use that, until the device may be reset again: it doesn't ask once more.
begin
wait_for 20 no_carrier || bad "there still is a carrier"
ethtool "$NETIF" | grep -q 'Link detected: no' || bad "$(ethtool "$NETIF" | grep Link)"
[ "$(cat "/sys/class/net/$NETIF/operstate")" = down ] || bad "operstate is $(cat "/sys/class/net/$NETIF/operstate")"
# What the host says of the link doesn't change that.
if have_hostctl; then
	hostctl qmp set_link name=nic0 up=false >/dev/null
	hostctl qmp set_link name=nic0 up=true >/dev/null
	sleep 1
	no_carrier || bad "a carrier, since the host said so"
fi
wait_for 90 carrier || bad "no carrier in 90 s"
reach || bad "no answer to ping"
log_since | grep -q 'the device works again' || bad "the log doesn't say that it works again"
verdict "no carrier until the next one, which comes by itself"

# A device that is gone reads as all ones.
begin
devmem $((bar + 20)) 8 0xff
have_hostctl && hostctl qmp set_link name=nic0 up=false >/dev/null && hostctl qmp set_link name=nic0 up=true >/dev/null
wait_for 20 no_carrier || bad "there still is a carrier"
wait_for 10 eval 'log_since | grep -q "the device is gone"' || bad "the log doesn't say that it is gone"
timeout 20 ip link set "$NETIF" promisc on || bad "RTNL is held"
timeout 20 ip link set "$NETIF" promisc off || bad "RTNL is held"
# It is back, but isn't set up again before the driver looks, some seconds later: its rings are dead until then, whatever is said
# of the link.
works() { log_since | grep -c 'the device works again'; }
n=$(works)
devmem $((bar + 20)) 8 0x0f
if have_hostctl; then
	hostctl qmp set_link name=nic0 up=false >/dev/null
	hostctl qmp set_link name=nic0 up=true >/dev/null
	sleep 1
	no_carrier || wait_for 2 eval '[ "$(works)" -gt "$n" ]' || bad "a carrier before the device is set up again"
fi
wait_for 60 carrier || bad "no carrier though the device is back"
reach || bad "no answer to ping"
verdict "a device that is gone"

# Unbind and bind.
begin
ip link del link "$NETIF" name "$NETIF.5"
echo "$VDEV" >/sys/bus/virtio/drivers/virtio_net_mq/unbind || bad "unbind failed"
echo "$VDEV" >/sys/bus/virtio/drivers/virtio_net_mq/bind || bad "bind failed"
configure || bad "the interface isn't back"
reach || bad "no answer to ping"
verdict "unbound and bound it works again"
finish
