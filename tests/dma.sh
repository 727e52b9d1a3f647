#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device that is reached by the DMA API: receive buffers stay mapped while they are used again and again, and what the
# device wrote is made readable for each packet. Seen by the kernel's own trace events; contents are for data.sh.
. "$(dirname "$0")/lib.sh"

events=/sys/kernel/tracing/events/dma
mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
negotiated 33 || skip_all "the device takes physical addresses (no ACCESS_PLATFORM)"
[ -e $events/dma_map_phys/trigger ] || skip_all "the kernel doesn't trace DMA mappings"
have_hostctl || skip_all "no hostctl: nobody to send bursts from"
reach
plan 2

PACKETS=1000
at_exit 'watch off'
watch() { # on|off
	local e off=
	[ "$1" = on ] || off='!'
	for e in dma_map_phys dma_sync_single_for_cpu; do echo "${off}hist:keys=dir" >$events/$e/trigger; done
} 2>/dev/null
# How often since then, for memory that the device writes to (DMA_FROM_DEVICE).
count() { sed -nE 's/^\{ dir: +2 \} hitcount: +([0-9]+).*/\1/p' "$events/$1/hist"; }

# 60 bytes are copied and the buffer is free at once; 1000 bytes travel with their buffer.
for size in 60 1000; do
	begin
	before=$(if_stat rx_packets)
	watch on
	hostctl -t 120 host run="ping -q -f -c $PACKETS -s $size -W 5 $DUT_IP" >"$WORK/ping" || bad "$(cat "$WORK/ping")"
	maps=$(count dma_map_phys) syncs=$(count dma_sync_single_for_cpu)
	watch off
	got=$(($(if_stat rx_packets) - before))
	note "$got packets, ${maps:-0} mappings, ${syncs:-0} times made readable"
	[ $got -ge $PACKETS ] || bad "$got packets came in"
	[ "${syncs:-0}" -ge $got ] || bad "made readable ${syncs:-0} times for $got packets"
	[ "${maps:-0}" -le $((got / 4)) ] || bad "$maps mappings for $got packets"
	verdict "packets of $size bytes: buffers stay mapped"
done
finish
