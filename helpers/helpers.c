// SPDX-License-Identifier: GPL-2.0
/*
 * What Rust can't call.  Rust calls vnm_helper_NAME as bindings::NAME.  There are three kinds: inline
 * functions of the kernel's headers, several of them in one for what runs per packet, and what the core
 * keeps to itself.  None of it is for one driver only, and none has policy.
 */

#include <linux/bpf.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/dim.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/kasan.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/netlink.h>
#include <linux/pci.h>
#include <linux/prefetch.h>
#include <linux/rtnetlink.h>
#include <linux/topology.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <linux/workqueue.h>
#include <net/checksum.h>
#include <net/gro.h>
#include <net/netdev_queues.h>
#include <net/netdev_rx_queue.h>
#include <net/page_pool/helpers.h>
#include <net/page_pool/types.h>
#include <net/xdp.h>
#include <net/xdp_sock_drv.h>
#include <trace/events/xdp.h>

#include "helpers.h"

/* What net/page_pool.rs takes for granted */
static_assert(MAX_SKB_FRAGS == 17);
static_assert(SMP_CACHE_BYTES == 64);
static_assert(PAGE_SIZE >= 2 * VNM_PIECE && PAGE_SIZE <= 16384);

#include "inline.c"
#include "datapath.c"
#include "xdp.c"
#include "xsk.c"
#include "private.c"
#include "layout.c"
#ifdef VNM_FAILPOINTS
#include "fail.c"
#endif
