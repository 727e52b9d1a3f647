#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device with STANDBY: an interface on top of it (net_failover) carries the traffic, over the primary device of the same
# address while there is one and over this one else. The primary comes once the driver knows of it, and can be unplugged.
. "$(dirname "$0")/lib.sh"

negotiated 62 || skip_all "the device is no standby"
have_hostctl || skip_all "hostctl is missing"

# Interfaces of our virtio device: the standby and the one on top.
standby='' master=''
for d in "/sys/bus/virtio/devices/$VDEV/net/"*; do
	n=${d##*/}
	if [ "$(cat "$d/phys_port_name" 2>/dev/null)" = sby ]; then standby=$n; else master=$n; fi
done
driver_of() { basename "$(readlink -f "/sys/class/net/$1/device/driver")" 2>/dev/null; }
# The primary: the same address, another device; net_failover wants one that is on the PCI bus itself.
modprobe e1000e 2>/dev/null
primary() {
	local d
	for d in /sys/class/net/*; do
		[ -e "$d/device" ] || continue
		[ "$(cat "$d/address")" = "$(cat "/sys/class/net/$master/address")" ] || continue
		[ "$(readlink -f "$d/device")" != "$(readlink -f "/sys/bus/virtio/devices/$VDEV")" ] && { echo "${d##*/}"; return; }
	done
	return 1
}
under() { [ "$(basename "$(readlink -f "/sys/class/net/$1/master")" 2>/dev/null)" = "$master" ]; }
packets() { cat "/sys/class/net/$1/statistics/tx_packets"; }
at_exit 'ip addr flush dev "$master"; ip link set "$master" down'
plan 5

begin
[ "$standby" ] || bad "no interface has the port name sby"
[ "$master" ] || bad "there is no interface on top"
[ "$(ethtool -i "$master" | sed -n 's/^driver: //p')" = net_failover ] || bad "$master: $(ethtool -i "$master" | head -1)"
under "$standby" || bad "$standby isn't under $master"
[ "$(cat "/sys/class/net/$standby/address")" = "$(cat "/sys/class/net/$master/address")" ] || bad "the addresses differ"
# Where swapping.rst, and cloud-init, look for STANDBY.
[ "$(cut -c63 "/sys/bus/virtio/devices/$VDEV/features")" = 1 ] || bad "column 63 of features isn't STANDBY"
verdict "there is an interface on top"
note "standby $standby, on top $master"

begin
ip addr flush dev "$standby"
ip addr flush dev "$NETIF"
ip addr add "$DUT_IP/24" dev "$master"
ip link set "$master" up || bad "$master doesn't come up"
wait_for 30 primary >/dev/null || bad "the primary doesn't appear"
p=$(primary)
note "primary ${p:-none} (driver $(driver_of "$p"))"
wait_for 20 under "$p" || bad "$p isn't under $master"
reach || bad "no answer to ping"
a=$(packets "$p") b=$(packets "$standby")
ping -q -c 20 -i 0.05 "$PEER" >/dev/null || bad "pings were lost for good"
[ $(($(packets "$p") - a)) -ge 20 ] || bad "$(($(packets "$p") - a)) packets over the primary, $(($(packets "$standby") - b)) over the standby"
verdict "with the primary there, it carries the traffic"

begin
hostctl unplug id=nic1 >"$WORK/out" || bad "unplug: $(cat "$WORK/out")"
wait_for 20 eval '! primary >/dev/null' || bad "$p is still there"
reach || bad "no answer to ping"
b=$(packets "$standby")
ping -q -c 20 -i 0.05 "$PEER" >/dev/null || bad "pings were lost for good"
[ $(($(packets "$standby") - b)) -ge 20 ] || bad "$(($(packets "$standby") - b)) packets over the standby"
verdict "without the primary, the standby does"

begin
old=$(cat "/sys/class/net/$standby/address")
ip link set "$standby" down
err=$(ip link set "$standby" address 02:00:00:00:00:33 2>&1) && bad "it was taken"
[ "$(cat "/sys/class/net/$standby/address")" = "$old" ] || bad "it is $(cat "/sys/class/net/$standby/address")"
ip link set "$standby" up
note "${err:-accepted}"
verdict "the address of a standby can't be changed"

begin
if ! ours; then
	skip "unbound and bound" "the in-tree driver is busy elsewhere"
else
	drv=/sys/bus/virtio/drivers/virtio_net_mq
	echo "$VDEV" >$drv/unbind || bad "unbind failed"
	[ -e "/sys/class/net/$master" ] && bad "$master is still there"
	echo "$VDEV" >$drv/bind || bad "bind failed"
	n=$(find "/sys/bus/virtio/devices/$VDEV/net/" -mindepth 1 -maxdepth 1 | wc -l)
	[ "$n" = 2 ] || bad "$n interfaces after bind"
	verdict "unbound, both interfaces go; bound, both come"
fi
finish
