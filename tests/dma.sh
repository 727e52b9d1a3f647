#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device that is reached by the DMA API: receive buffers stay mapped while they are used again and again, and what the
# device wrote is made readable for each packet. Seen by the kernel's own trace events; contents are for data.sh.
. "$(dirname "$0")/lib.sh"

tracing=/sys/kernel/tracing
events=$tracing/events/dma
[ -e $events ] || mount -t tracefs tracefs $tracing 2>/dev/null
negotiated 33 || skip_all "the device takes physical addresses (no ACCESS_PLATFORM)"
[ -e $events/dma_map_phys/enable ] || skip_all "the kernel doesn't trace DMA mappings"
have_hostctl || skip_all "no hostctl: nobody to send bursts from"
reach
plan 2

PACKETS=1000
at_exit 'watch 0'
watch() { # 1|0
	local e
	# What the device writes to: DMA_FROM_DEVICE.
	for e in dma_map_phys dma_sync_single_for_cpu; do
		[ "$1" = 0 ] || echo "dir == 2" >$events/$e/filter
		echo "$1" >$events/$e/enable
	done
}
# How often since then. The buffer holds some ten thousand events.
count() { grep -c " $1: " $tracing/trace; }
echo 2048 >$tracing/buffer_size_kb

# 60 bytes are copied and the buffer is free at once; 1000 bytes travel with their buffer.
for size in 60 1000; do
	begin
	before=$(if_stat rx_packets)
	echo >$tracing/trace
	watch 1
	hostctl -t 120 host run="ping -q -f -c $PACKETS -s $size -W 5 $DUT_IP" >"$WORK/ping" || bad "$(cat "$WORK/ping")"
	watch 0
	maps=$(count dma_map_phys) syncs=$(count dma_sync_single_for_cpu)
	got=$(($(if_stat rx_packets) - before))
	note "$got packets, $maps mappings, $syncs times made readable"
	[ $got -ge $PACKETS ] || bad "$got packets came in"
	[ "$syncs" -ge $got ] || bad "made readable $syncs times for $got packets"
	[ "$maps" -le $((got / 4)) ] || bad "$maps mappings for $got packets"
	verdict "packets of $size bytes: buffers stay mapped"
done
finish
