/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads: the headers of the functions and types listed in
 * bindgen_parameters.
 */

/* First: bindgen mistakes a forward-declared enum if this comes later. */
#include <linux/hrtimer_types.h>

#include <linux/bpf.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/dim.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/hw_random.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/workqueue.h>
#include <net/net_failover.h>
#include <net/netdev_queues.h>
#include <net/netdev_rx_queue.h>
#include <net/page_pool/helpers.h>
#include <net/page_pool/types.h>
#include <net/xdp.h>
#include <net/xdp_sock_drv.h>

#include "helpers/helpers.h"
#include "params.h"
