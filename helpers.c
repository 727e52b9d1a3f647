// SPDX-License-Identifier: GPL-2.0
/*
 * What Rust can't call: inline functions and macros of the kernel's headers,
 * module parameters, module information.  No policy lives here.  Rust calls
 * vnm_helper_NAME as bindings::NAME.
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
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/prefetch.h>
#include <linux/rtnetlink.h>
#include <linux/topology.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <linux/workqueue.h>
#include <net/gro.h>
#include <net/netdev_queues.h>
#include <net/netdev_rx_queue.h>
#include <net/page_pool/helpers.h>
#include <net/page_pool/types.h>

#include "helpers.h"

MODULE_VERSION("0.1.0");

/* What net/page_pool.rs takes for granted */
static_assert(MAX_SKB_FRAGS == 17);
static_assert(SMP_CACHE_BYTES == 64);
static_assert(PAGE_SIZE == 4096);

/* --- module parameters (the kernel crate has integers without sysfs only) --- */

static unsigned int queue_pairs;
module_param(queue_pairs, uint, 0444);
MODULE_PARM_DESC(queue_pairs,
	"Active queue pairs of a new interface (0 = one per online CPU, at most the device's)");

static unsigned int ctrl_timeout_ms = 10000;
module_param(ctrl_timeout_ms, uint, 0644);
MODULE_PARM_DESC(ctrl_timeout_ms,
	"Milliseconds that a control virtqueue command may take (default 10000)");

static int napi_weight = NAPI_POLL_WEIGHT;
module_param(napi_weight, int, 0444);
MODULE_PARM_DESC(napi_weight, "Packets that one NAPI poll may receive (1 to 64, default 64)");

static bool csum = true;
module_param(csum, bool, 0444);
MODULE_PARM_DESC(csum, "Checksums of sent packets are left to the device at first (default Y)");

static bool gso = true;
module_param(gso, bool, 0444);
MODULE_PARM_DESC(gso, "Segmentation of sent packets is left to the device at first (default Y)");

static bool napi_tx = true;
module_param(napi_tx, bool, 0644);
MODULE_PARM_DESC(napi_tx, "Accepted and without effect: sent packets are always reaped by NAPI");

int vnm_helper_param_napi_weight(void)
{
	return napi_weight;
}

bool vnm_helper_param_csum(void)
{
	return csum;
}

bool vnm_helper_param_gso(void)
{
	return gso;
}

bool vnm_helper_param_napi_tx(void)
{
	return READ_ONCE(napi_tx);
}

unsigned int vnm_helper_param_queue_pairs(void)
{
	return queue_pairs;
}

unsigned int vnm_helper_param_ctrl_timeout_ms(void)
{
	return READ_ONCE(ctrl_timeout_ms);
}

#ifdef VNM_FAILPOINTS
static atomic_t fail_left = ATOMIC_INIT(0);

static int set_fail_at(const char *val, const struct kernel_param *kp)
{
	int n, err = kstrtoint(val, 0, &n);

	if (!err)
		atomic_set(&fail_left, n);
	return err;
}

static int get_fail_at(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&fail_left));
}

static const struct kernel_param_ops fail_at_ops = { .set = set_fail_at, .get = get_fail_at };
module_param_cb(fail_at, &fail_at_ops, NULL, 0644);
MODULE_PARM_DESC(fail_at, "The step, counted from now on, that fails (0 = none; negative: it did)");

bool vnm_helper_fail_point(void)
{
	/* 0 stays: no step is to fail.  1 becomes -1: this one does. */
	if (atomic_read(&fail_left) <= 0)
		return false;
	if (atomic_dec_return(&fail_left))
		return false;
	atomic_set(&fail_left, -1);
	return true;
}

static unsigned int delay_after_complete;
module_param(delay_after_complete, uint, 0644);
MODULE_PARM_DESC(delay_after_complete,
	"After each so many refusals of napi_complete_done, of polls that are not the owner any more, the CPU does nothing for 2 ms (0 = never)");

static atomic_t delays = ATOMIC_INIT(0);

static int get_delays(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&delays));
}

static const struct kernel_param_ops delays_ops = { .get = get_delays };
module_param_cb(delays, &delays_ops, NULL, 0444);
MODULE_PARM_DESC(delays, "How often it did nothing so");

/* As if the hypervisor took the CPU away, at best until nothing polls @napi and nothing is going to */
void vnm_helper_fail_delay(struct napi_struct *napi)
{
	static atomic_t refused = ATOMIC_INIT(0);
	unsigned int n = READ_ONCE(delay_after_complete), us;
	unsigned long flags;

	if (!n || READ_ONCE(napi->state) & (NAPIF_STATE_SCHED | NAPIF_STATE_IN_BUSY_POLL))
		return;
	if ((unsigned int)atomic_inc_return(&refused) % n)
		return;
	local_irq_save(flags);
	for (us = 0; us < 2000; us++) {
		if (!(READ_ONCE(napi->state) & NAPIF_STATE_SCHED) && !hrtimer_active(&napi->timer))
			break;
		udelay(1);
	}
	local_irq_restore(flags);
	atomic_inc(&delays);
}
#endif

/* --- layout: C's half of net/layout.rs, in the same order --- */

#define LAYOUT_SIZE(t)		sizeof(t)
#define LAYOUT_AT(t, field)	offsetof(t, field)

static const size_t layout[] = {
	LAYOUT_SIZE(struct net_device),
	LAYOUT_AT(struct net_device, netdev_ops),
	LAYOUT_AT(struct net_device, mtu),
	LAYOUT_AT(struct net_device, needed_headroom),
	LAYOUT_AT(struct net_device, flags),
	LAYOUT_AT(struct net_device, features),
	LAYOUT_AT(struct net_device, real_num_rx_queues),
	LAYOUT_AT(struct net_device, dev_addr),
	LAYOUT_AT(struct net_device, stat_ops),
	LAYOUT_AT(struct net_device, ethtool_ops),
	LAYOUT_AT(struct net_device, hw_features),
	LAYOUT_AT(struct net_device, vlan_features),
	LAYOUT_AT(struct net_device, min_mtu),
	LAYOUT_AT(struct net_device, max_mtu),
	LAYOUT_AT(struct net_device, sysfs_rx_queue_group),
	LAYOUT_AT(struct net_device, priv),
	LAYOUT_SIZE(struct attribute),
	LAYOUT_AT(struct attribute, mode),
	LAYOUT_SIZE(struct attribute_group),
	LAYOUT_AT(struct attribute_group, bin_attrs),
	LAYOUT_SIZE(struct rx_queue_attribute),
	LAYOUT_AT(struct rx_queue_attribute, show),
	LAYOUT_SIZE(struct netdev_rx_queue),
	LAYOUT_AT(struct netdev_rx_queue, dev),
	LAYOUT_SIZE(struct dim),
	LAYOUT_AT(struct dim, work),
	LAYOUT_AT(struct dim, profile_ix),
	LAYOUT_AT(struct dim, tune_state),
	LAYOUT_AT(struct dim, tired),
	LAYOUT_SIZE(struct net_device_ops),
	LAYOUT_AT(struct net_device_ops, ndo_start_xmit),
	LAYOUT_AT(struct net_device_ops, ndo_set_rx_mode_async),
	LAYOUT_AT(struct net_device_ops, ndo_get_stats64),
	LAYOUT_AT(struct net_device_ops, ndo_set_features),
	LAYOUT_SIZE(struct netdev_stat_ops),
	LAYOUT_AT(struct netdev_stat_ops, get_base_stats),
	LAYOUT_SIZE(struct netdev_queue_stats_rx),
	LAYOUT_SIZE(struct netdev_queue_stats_tx),
	LAYOUT_SIZE(struct rtnl_link_stats64),
	LAYOUT_SIZE(struct ethtool_ops),
	LAYOUT_AT(struct ethtool_ops, supported_coalesce_params),
	LAYOUT_AT(struct ethtool_ops, get_drvinfo),
	LAYOUT_AT(struct ethtool_ops, get_rx_ring_count),
	LAYOUT_AT(struct ethtool_ops, set_rxfh_fields),
	LAYOUT_AT(struct ethtool_ops, get_coalesce),
	LAYOUT_AT(struct ethtool_ops, get_channels),
	LAYOUT_AT(struct ethtool_ops, get_per_queue_coalesce),
	LAYOUT_AT(struct ethtool_ops, get_link_ksettings),
	LAYOUT_SIZE(struct ethtool_rxfh_param),
	LAYOUT_AT(struct ethtool_rxfh_param, hfunc),
	LAYOUT_AT(struct ethtool_rxfh_param, indir),
	LAYOUT_AT(struct ethtool_rxfh_param, key),
	LAYOUT_SIZE(struct ethtool_rxfh_fields),
	LAYOUT_AT(struct ethtool_rxfh_fields, data),
	LAYOUT_AT(struct ethtool_rxfh_fields, flow_type),
	LAYOUT_SIZE(struct ethtool_link_ksettings),
	LAYOUT_SIZE(struct ethtool_coalesce),
	LAYOUT_SIZE(struct napi_struct),
	LAYOUT_AT(struct napi_struct, state),
	LAYOUT_AT(struct napi_struct, gro_flush_timeout),
	LAYOUT_AT(struct napi_struct, gro),
	LAYOUT_AT(struct napi_struct, dev),
	LAYOUT_SIZE(struct sk_buff),
	LAYOUT_AT(struct sk_buff, cb),
	LAYOUT_AT(struct sk_buff, len),
	LAYOUT_AT(struct sk_buff, data_len),
	LAYOUT_AT(struct sk_buff, queue_mapping),
	LAYOUT_AT(struct sk_buff, data),
	LAYOUT_AT(struct sk_buff, truesize),
	LAYOUT_SIZE(struct skb_shared_info),
	LAYOUT_SIZE(struct scatterlist),
	LAYOUT_SIZE(struct delayed_work),
	LAYOUT_AT(struct delayed_work, work),
	LAYOUT_SIZE(struct page_pool_params),
	LAYOUT_SIZE(struct virtio_device),
	LAYOUT_AT(struct virtio_device, dev),
	LAYOUT_AT(struct virtio_device, priv),
	LAYOUT_SIZE(struct virtio_driver),
	LAYOUT_AT(struct virtio_driver, driver),
	LAYOUT_AT(struct virtio_driver, id_table),
	LAYOUT_AT(struct virtio_driver, probe),
	LAYOUT_AT(struct virtio_driver, reset_done),
	LAYOUT_SIZE(struct virtqueue),
	LAYOUT_AT(struct virtqueue, vdev),
	LAYOUT_AT(struct virtqueue, index),
	LAYOUT_AT(struct virtqueue, num_free),
	LAYOUT_AT(struct virtqueue, num_max),
	LAYOUT_SIZE(struct virtqueue_info),
	SKB_DATA_ALIGN(sizeof(struct skb_shared_info)),
};

size_t vnm_helper_layout(unsigned int i)
{
	return i < ARRAY_SIZE(layout) ? layout[i] : SIZE_MAX;
}

/* --- virtio --- */

void vnm_helper_virtio_device_ready(struct virtio_device *vdev)
{
	virtio_device_ready(vdev);
}

int vnm_helper_virtio_find_vqs(struct virtio_device *vdev, unsigned int nvqs,
			       struct virtqueue **vqs, struct virtqueue_info *info)
{
	return virtio_find_vqs(vdev, nvqs, vqs, info, NULL);
}

void vnm_helper_virtio_del_vqs(struct virtio_device *vdev)
{
	vdev->config->del_vqs(vdev);
}

u8 vnm_helper_virtio_get_status(struct virtio_device *vdev)
{
	return vdev->config->get_status(vdev);
}

const char *vnm_helper_virtio_bus_name(struct virtio_device *vdev)
{
	return virtio_bus_name(vdev);
}

void vnm_helper_virtio_synchronize_cbs(struct virtio_device *vdev)
{
	virtio_synchronize_cbs(vdev);
}

/* @count fields of @bytes each, read again until the generation holds still */
void vnm_helper_virtio_cread_many(struct virtio_device *vdev, unsigned int offset,
				  void *buf, size_t count, size_t bytes)
{
	__virtio_cread_many(vdev, offset, buf, count, bytes);
}

void vnm_helper_virtio_cwrite8(struct virtio_device *vdev, unsigned int offset, u8 val)
{
	virtio_cwrite8(vdev, offset, val);
}

int vnm_helper_virtqueue_set_affinity(struct virtqueue *vq, const struct cpumask *mask)
{
	return virtqueue_set_affinity(vq, mask);
}

/* Is @mask the affinity of @irq, or what it will be at the next interrupt? A hint: no lock */
bool vnm_helper_irq_affinity_is(int irq, const struct cpumask *mask)
{
	struct irq_data *d = irq_get_irq_data(irq);
	const struct cpumask *now;

	if (!d)
		return true;
	now = irq_data_get_affinity_mask(d);
#ifdef CONFIG_GENERIC_PENDING_IRQ
	if (irqd_is_setaffinity_pending(d))
		now = irq_data_to_desc(d)->pending_mask;
#endif
	return cpumask_equal(now, mask);
}

/* Interrupt of MSI-X entry @nr of the PCI function @dev, or negative */
int vnm_helper_pci_irq_of(struct device *dev, unsigned int nr)
{
	return dev && dev_is_pci(dev) ? pci_irq_vector(to_pci_dev(dev), nr) : -ENODEV;
}

/*
 * How many MSI-X vectors, of @want, the PCI function @dev gets; 0 if it is none, or has its vectors
 * already.  The only way to know is to allocate them, which find_vqs does for itself later.
 */
unsigned int vnm_helper_pci_vectors(struct device *dev, unsigned int want)
{
	struct pci_dev *pdev;
	int n;

	if (!dev || !dev_is_pci(dev))
		return 0;
	pdev = to_pci_dev(dev);
	if (pdev->msix_enabled || pdev->msi_enabled)
		return 0;
	n = pci_alloc_irq_vectors(pdev, 1, want, PCI_IRQ_MSIX);
	if (n <= 0)
		return 0;
	pci_free_irq_vectors(pdev);
	return n;
}

bool vnm_helper_pci_msix_enabled(struct device *dev)
{
	return dev && dev_is_pci(dev) && to_pci_dev(dev)->msix_enabled;
}

/* The index of the buffer that @vq is given next, or -1 of a packed ring, which has none */
int vnm_helper_virtqueue_avail_index(const struct virtqueue *vq)
{
	if (virtio_has_feature(vq->vdev, VIRTIO_F_RING_PACKED))
		return -1;
	return virtio16_to_cpu(vq->vdev, virtqueue_get_vring(vq)->avail->idx);
}

/* The index that the device uses next in a split ring, by its own word */
u16 vnm_helper_virtqueue_used_index(const struct virtqueue *vq)
{
	return virtio16_to_cpu(vq->vdev, READ_ONCE(virtqueue_get_vring(vq)->used->idx));
}

/* One contiguous buffer for the device to write to */
static int vnm_add_inbuf_one(struct virtqueue *vq, void *va, unsigned int len, void *data,
			     void *ctx, gfp_t gfp)
{
	struct scatterlist sg;

	sg.page_link = SG_END;
	sg_set_page(&sg, virt_to_page(va), len, offset_in_page(va));
	return virtqueue_add_inbuf_ctx(vq, &sg, 1, data, ctx, gfp);
}

/* The same for a piece of a page that a pool has mapped for the queue's device */
static int vnm_add_inbuf_mapped(struct virtqueue *vq, void *va, unsigned int len, void *data,
				void *ctx, gfp_t gfp)
{
	struct page *page = virt_to_head_page(va);
	struct scatterlist sg;

	sg.page_link = SG_END;
	sg.length = len;
	sg_dma_address(&sg) = page_pool_get_dma_addr(page) + (va - page_address(page));
	sg_dma_len(&sg) = len;
	return virtqueue_add_inbuf_premapped(vq, &sg, 1, data, ctx, gfp);
}

/* A piece of a page as @p says, or NULL.  One that was in use is the device's again. */
static void *vnm_post_piece(struct vnm_post *p)
{
	unsigned int at = 0;
	struct page *page;
	void *va;

	if (p->half && p->spares) {
		va = p->spare[--p->spares];
		if (p->dev) {
			page = virt_to_head_page(va);
			dma_sync_single_for_device(p->pool->p.dev, page_pool_get_dma_addr(page) +
						   (va - page_address(page)) + p->offset,
						   p->len, DMA_FROM_DEVICE);
		}
		return va;
	}
	page = p->half ? page_pool_alloc_frag(p->pool, &at, PAGE_SIZE / 2, p->gfp) :
			 page_pool_alloc_pages(p->pool, p->gfp);
	return page ? page_address(page) + at : NULL;
}

/* Posts up to @n pieces of pages; the token of each is its address.  Returns how many. */
unsigned int vnm_helper_virtqueue_post_frags(struct virtqueue *vq, struct vnm_post *p,
					     unsigned int n)
{
	unsigned int i;

	p->err = p->dev && (!p->pool->dma_map || p->pool->p.dev != p->dev) ? -EINVAL : 0;
	for (i = 0; i < n && !p->err; i++) {
		void *va = vnm_post_piece(p);

		if (unlikely(!va)) {
			p->err = -ENODATA;
			break;
		}
		p->err = p->dev ?
			 vnm_add_inbuf_mapped(vq, va + p->offset, p->len, va, p->ctx, p->gfp) :
			 vnm_add_inbuf_one(vq, va + p->offset, p->len, va, p->ctx, p->gfp);
		if (unlikely(p->err)) {
			page_pool_put_page(p->pool, virt_to_head_page(va), -1, false);
			break;
		}
	}
	return i;
}

/*
 * Takes up to @n used buffers; returns how many there were.  What the device wrote to one of them comes
 * from its CPU's cache or from memory: that is asked for here, for all of them at once.  It begins @at
 * bytes behind the buffer's address.
 */
unsigned int vnm_helper_virtqueue_get_bufs(struct virtqueue *vq, struct vnm_used_buf *bufs,
					   unsigned int n, unsigned int at)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		void *data = virtqueue_get_buf_ctx(vq, &bufs[i].len, &bufs[i].ctx);

		if (!data)
			break;
		bufs[i].data = data;
		prefetch(data + at);
		prefetch(data + at + SMP_CACHE_BYTES);
	}
	return i;
}

void vnm_helper_sg_table_init(struct scatterlist *sg, unsigned int nents)
{
	sg_init_table(sg, nents);
}

void vnm_helper_sg_set_buf(struct scatterlist *sg, const void *va, unsigned int len)
{
	sg_set_buf(sg, va, len);
}

/* --- sk_buff --- */

/* A marked end is taken off an entry by writing it anew, so the table needs no initialisation */
static void vnm_sg_fill(struct scatterlist *sg, struct page *page, unsigned int len,
			unsigned int offset)
{
	sg->page_link = 0;
	sg_set_page(sg, page, len, offset);
}

static void vnm_sg_fill_buf(struct scatterlist *sg, const void *va, unsigned int len)
{
	vnm_sg_fill(sg, virt_to_page(va), len, offset_in_page(va));
}

/* Packets that came from outside don't say how many segments they have */
static unsigned int vnm_gso_segs(const struct sk_buff *skb)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);

	return shinfo->gso_segs ?: DIV_ROUND_UP(skb->len, shinfo->gso_size);
}

static unsigned int vnm_gso_hdr_len(const struct sk_buff *skb)
{
	if (skb_shinfo(skb)->gso_type & SKB_GSO_UDP_L4)
		return skb_transport_offset(skb) + sizeof(struct udphdr);
	return skb_tcp_all_headers(skb);
}

/* The header of a packet that the device is to segment, at @at, where all of it is 0 */
static noinline int vnm_gso_hdr(const struct sk_buff *skb, void *at, unsigned int form)
{
	struct virtio_net_hdr *hdr = at;
	int err;

	if ((form & VNM_HDR_LEN) == sizeof(struct virtio_net_hdr_v1_hash_tunnel))
		return virtio_net_hdr_tnl_from_skb(skb, at, form & VNM_HDR_TUNNEL, true, 0, false,
						   form & VNM_HDR_EXACT);
	err = virtio_net_hdr_from_skb(skb, hdr, true, false, 0);
	if (!err && form & VNM_HDR_EXACT)
		hdr->hdr_len = (__force __virtio16)cpu_to_le16(min(vnm_gso_hdr_len(skb), U16_MAX));
	return err;
}

/*
 * A word of a packet that somebody else has too (pktgen, which sends it again) is not written if it is
 * there: the CPU of the device that reads it then keeps its copy of the line.  Of any other packet the
 * look would cost more than the store.
 */
#define vnm_put(val, at, again)						\
do {									\
	if (!(again) || get_unaligned(at) != (val))			\
		put_unaligned(val, at);					\
} while (0)

/*
 * The header of @skb, at @at: all the bytes that the form has.  Written in words, from registers,
 * and not read again here: a load that spans several earlier stores waits until they are done.
 */
static __always_inline int vnm_put_hdr(const struct sk_buff *skb, void *at, unsigned int form)
{
	unsigned int len = form & VNM_HDR_LEN;
	bool again = skb_shared(skb);
	u64 first = 0;
	u32 rest = 0;

	if (skb->ip_summed == CHECKSUM_PARTIAL) {
		first = VIRTIO_NET_HDR_F_NEEDS_CSUM | (u64)(u16)skb_checksum_start_offset(skb) << 48;
		rest = skb->csum_offset;
	}
	vnm_put(cpu_to_le64(first), (__le64 *)at, again);
	if (likely(len >= sizeof(struct virtio_net_hdr_mrg_rxbuf)))
		vnm_put(cpu_to_le32(rest), (__le32 *)(at + 8), again);
	else
		put_unaligned_le16(rest, at + 8);
	/* Neither a hash nor a tunnel's fields */
	if (len > sizeof(struct virtio_net_hdr_mrg_rxbuf)) {
		vnm_put(0, (u64 *)(at + 12), again);
		if (len > sizeof(struct virtio_net_hdr_v1_hash))
			vnm_put(0, (u32 *)(at + 20), again);
	}
	if (likely(!skb_is_gso(skb)))
		return 0;
	return vnm_gso_hdr(skb, at, form);
}

/*
 * Up to this many bytes are copied into the headroom if a packet is in pieces: cheaper than the table
 * that more than one descriptor takes.
 */
#define VNM_COPYBREAK	128

/*
 * Copies a packet in pieces into its own headroom, which may be written to, after @hdr_len bytes for a
 * header, and makes @sg of it.  Where that header is to be, or NULL without enough room.
 */
static noinline void *vnm_skb_flatten(struct sk_buff *skb, struct scatterlist *sg,
				      unsigned int hdr_len)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	unsigned int len = hdr_len + skb->len, i, at = hdr_len;
	u8 *to;

	/* The header stays aligned: skb->data is, or it couldn't be pushed */
	if (skb_headroom(skb) < ALIGN(len, 4) || shinfo->frag_list || !skb_frags_readable(skb))
		return NULL;
	to = skb->data - ALIGN(len, 4);
	memcpy(to + at, skb->data, skb_headlen(skb));
	at += skb_headlen(skb);
	for (i = 0; i < shinfo->nr_frags; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];

		memcpy(to + at, skb_frag_address(frag), skb_frag_size(frag));
		at += skb_frag_size(frag);
	}
	vnm_sg_fill_buf(sg, to, len);
	return to;
}

/*
 * All that a packet takes to be added to a ring: its header is written where the device is to read it,
 * and header and packet are described in @sg, of MAX_SKB_FRAGS + 2 entries of any content.  The header
 * goes right before the data if it may, else into the control buffer; what that had goes to
 * @saved (24 bytes).  See enum vnm_hdr_form for @form and enum vnm_xmit_map for the result; or -EINVAL:
 * then no header can say what the packet is, or it has more pieces than @sg.
 */
long vnm_helper_skb_map_xmit(struct sk_buff *skb, struct scatterlist *sg, void *saved,
			     unsigned int form)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	unsigned int hdr_len = form & VNM_HDR_LEN, flags = 0, n = 1, i;
	void *hdr = skb->data - hdr_len;

	if (likely(form & VNM_HDR_ANY_LAYOUT && !skb_header_cloned(skb) &&
		   skb_headroom(skb) >= hdr_len &&
		   IS_ALIGNED((unsigned long)skb->data, __alignof__(struct virtio_net_hdr_mrg_rxbuf)))) {
		if (skb->data_len && skb->len <= VNM_COPYBREAK) {
			void *flat = vnm_skb_flatten(skb, sg, hdr_len);

			if (flat) {
				hdr = flat;
				goto mapped;
			}
		}
		vnm_sg_fill_buf(sg, hdr, skb_headlen(skb) + hdr_len);
	} else {
		hdr = skb->cb;
		memcpy(saved, hdr, sizeof(struct virtio_net_hdr_v1_hash_tunnel));
		flags = VNM_XMIT_HDR_IN_CB;
		vnm_sg_fill_buf(sg, hdr, hdr_len);
		if (skb_headlen(skb))
			vnm_sg_fill_buf(&sg[n++], skb->data, skb_headlen(skb));
	}
	if (unlikely(shinfo->frag_list || shinfo->nr_frags > MAX_SKB_FRAGS))
		return -EINVAL;
	for (i = 0; i < shinfo->nr_frags; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];

		vnm_sg_fill(&sg[n++], skb_frag_page(frag), skb_frag_size(frag),
			    skb_frag_off(frag));
	}
mapped:
	sg_mark_end(&sg[n - 1]);
	if (unlikely(vnm_put_hdr(skb, hdr, form))) {
		if (flags)
			memcpy(hdr, saved, sizeof(struct virtio_net_hdr_v1_hash_tunnel));
		return -EINVAL;
	}
	if (skb_is_gso(skb))
		return n | flags | (long)vnm_gso_segs(skb) << VNM_XMIT_SEGS_SHIFT;
	return n | flags;
}

void vnm_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

/* A tunnelled packet; the features were looked at before */
static noinline int vnm_rx_tunnelled(struct sk_buff *skb, const struct virtio_net_hdr *hdr,
				     const __le16 *fields)
{
	struct virtio_net_hdr_v1_hash_tunnel full = {};

	memcpy(&full, hdr, sizeof(*hdr));
	full.outer_th_offset = fields[0];
	full.inner_nh_offset = fields[1];
	return virtio_net_hdr_tnl_to_skb(skb, &full, true, true, true);
}

/*
 * Header checks and protocol of a received frame; 0, or -EINVAL: then it can only be freed.  The
 * tunnel fields follow @hdr (one of 12 bytes).  What wasn't negotiated is not in it any more.
 */
int vnm_helper_skb_rx_prepare(struct sk_buff *skb, struct net_device *dev,
			      struct virtio_net_hdr *hdr, u16 rxq)
{
	if (virtio_net_handle_csum_offload(skb, hdr, true))
		return -EINVAL;
	skb->dev = dev;
	skb_set_network_header(skb, ETH_HLEN);
	if (unlikely(hdr->gso_type & VIRTIO_NET_HDR_GSO_UDP_TUNNEL)) {
		const struct virtio_net_hdr_mrg_rxbuf *mrg = (const void *)hdr;

		if (vnm_rx_tunnelled(skb, hdr, (const __le16 *)(mrg + 1)))
			return -EINVAL;
	} else if (virtio_net_hdr_to_skb(skb, hdr, true)) {
		return -EINVAL;
	}
	skb_record_rx_queue(skb, rxq);
	skb->protocol = eth_type_trans(skb, dev);
	return 0;
}

/* @ports: the hash is over ports, too */
void vnm_helper_skb_set_rx_hash(struct sk_buff *skb, u32 hash, bool ports)
{
	skb_set_hash(skb, hash, ports ? PKT_HASH_TYPE_L4 : PKT_HASH_TYPE_L3);
}

/*
 * A new skb around the @truesize bytes at @va, a piece of a page-pool page, with @len bytes of data
 * after @headroom.  Its memory goes back to the pool.
 */
struct sk_buff *vnm_helper_napi_build_pp_skb(void *va, unsigned int truesize,
					     unsigned int headroom, unsigned int len)
{
	struct sk_buff *skb = napi_build_skb(va, truesize);

	if (unlikely(!skb))
		return NULL;
	skb_reserve(skb, headroom);
	__skb_put(skb, len);
	skb_mark_for_recycle(skb);
	return skb;
}

/*
 * A new skb with room for @size bytes and a copy of the @len bytes at @data.  @copied of them can be
 * read, at least @len and not more than @size: whole words, or cache lines, are copied faster.
 *
 * A head this small comes from a slab of larger ones.  What is left of it goes before the data, up to
 * what generic XDP wants to have there and would copy the packet for once more.
 */
struct sk_buff *vnm_helper_napi_copy_pp_skb(struct napi_struct *napi, const void *data,
					    unsigned int len, unsigned int copied,
					    unsigned int size)
{
	struct sk_buff *skb = napi_alloc_skb(napi, size);
	int more, spare;
	void *to;

	if (unlikely(!skb))
		return NULL;
	more = XDP_PACKET_HEADROOM - (int)skb_headroom(skb);
	spare = skb_tailroom(skb) - (int)size;
	skb_reserve(skb, max(min(more, spare), 0));
	skb_mark_for_recycle(skb);
	to = __skb_put(skb, len);
	if (IS_ALIGNED(copied, SMP_CACHE_BYTES)) {
		unsigned int at;

		for (at = 0; at < copied; at += SMP_CACHE_BYTES)
			memcpy(to + at, data + at, SMP_CACHE_BYTES);
	} else {
		memcpy(to, data, len);
	}
	return skb;
}

/*
 * ndo_features_check.  The virtio header has room for one checksum and no word
 * for "inner", but where the device segments inside of a tunnel.  Who completes
 * the checksum of any other tunnelled packet on the host's side may take the
 * place for the outer header's: it has to be complete here.  Segments that are
 * made of a packet in software are such packets.
 */
netdev_features_t vnm_helper_tunnel_features_check(struct sk_buff *skb, struct net_device *dev,
						   netdev_features_t features)
{
	bool by_device;

	if (likely(!skb->encapsulation))
		return features;
	by_device = skb_is_gso(skb) && !netif_needs_gso(skb, features);
	return by_device ? features : features & ~NETIF_F_CSUM_MASK;
}

void vnm_helper_skb_mark_for_recycle(struct sk_buff *skb)
{
	skb_mark_for_recycle(skb);
}

unsigned int vnm_helper_skb_nr_frags(const struct sk_buff *skb)
{
	return skb_shinfo(skb)->nr_frags;
}

void vnm_helper_skb_add_rx_frag_va(struct sk_buff *skb, void *va, unsigned int len,
				   unsigned int truesize)
{
	struct page *page = virt_to_head_page(va);

	skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, va - page_address(page), len,
			truesize);
}

/* Appends @tail to @head's frag_list; @last is the list's end or NULL */
void vnm_helper_skb_append_frag_list(struct sk_buff *head, struct sk_buff *last,
				     struct sk_buff *tail)
{
	if (last)
		last->next = tail;
	else
		skb_shinfo(head)->frag_list = tail;
	head->data_len += tail->len;
	head->len += tail->len;
	head->truesize += tail->truesize;
}

/* --- page pool --- */

/* The pool of these parameters maps its pages for @dev, to be written by it */
void vnm_helper_page_pool_map_for(struct page_pool_params *params, struct device *dev)
{
	params->flags |= PP_FLAG_DMA_MAP | PP_FLAG_DMA_SYNC_DEV;
	params->dev = dev;
	params->dma_dir = DMA_FROM_DEVICE;
	params->max_len = PAGE_SIZE;
}

/* What the device wrote to @len bytes from @va on, in a page of a pool that maps, can be read */
void vnm_helper_page_pool_sync_for_cpu(const void *va, unsigned int len)
{
	struct page *page = virt_to_head_page(va);
	struct page_pool *pool = pp_page_to_nmdesc(page)->pp;

	if (pool->dma_map)
		page_pool_dma_sync_for_cpu(pool, page, va - page_address(page), len);
}

void *vnm_helper_page_pool_alloc_page(struct page_pool *pool, gfp_t gfp)
{
	struct page *page = page_pool_alloc_pages(pool, gfp);

	return page ? page_address(page) : NULL;
}

void vnm_helper_page_pool_put_va(struct page_pool *pool, void *va, bool direct)
{
	page_pool_put_page(pool, virt_to_head_page(va), -1, direct);
}

/* Gives a fragment back to the pool that its page says it came from */
void vnm_helper_page_pool_put_va_own(void *va)
{
	struct page *page = virt_to_head_page(va);

	page_pool_put_page(pp_page_to_nmdesc(page)->pp, page, -1, false);
}

/* --- queues and NAPI --- */

/*
 * What ndo_start_xmit of @skb for @txq begins with: its timestamp, and whether more follow; or -1, and
 * nothing was done, without the queue's lock.
 */
int vnm_helper_netdev_xmit_begin(struct netdev_queue *txq, struct sk_buff *skb)
{
	if (unlikely(!netif_tx_owned(txq, smp_processor_id())))
		return -1;
	skb_tx_timestamp(skb);
	return netdev_xmit_more();
}

/* Does this CPU have the lock of @txq? */
bool vnm_helper_netif_tx_owned(struct netdev_queue *txq)
{
	return netif_tx_owned(txq, smp_processor_id());
}

bool vnm_helper_netdev_xmit_more(void)
{
	return netdev_xmit_more();
}

bool vnm_helper_netdev_tx_sent_queue(struct netdev_queue *txq, unsigned int bytes, bool more)
{
	return __netdev_tx_sent_queue(txq, bytes, more);
}

/* Returns whether the driver has stopped @txq */
bool vnm_helper_netdev_tx_completed_queue(struct netdev_queue *txq, unsigned int pkts,
					  unsigned int bytes)
{
	netdev_tx_completed_queue(txq, pkts, bytes);
	return netif_tx_queue_stopped(txq);
}

void vnm_helper_netdev_tx_reset_queue(struct netdev_queue *txq)
{
	netdev_tx_reset_queue(txq);
}

void vnm_helper_netif_tx_stop_queue(struct netdev_queue *txq)
{
	netif_tx_stop_queue(txq);
}

void vnm_helper_netif_tx_start_queue(struct netdev_queue *txq)
{
	netif_tx_start_queue(txq);
}

bool vnm_helper_netif_tx_queue_stopped(const struct netdev_queue *txq)
{
	return netif_tx_queue_stopped(txq);
}

/* Whether @txq has been stopped for longer than the watchdog allows */
bool vnm_helper_netdev_queue_stuck(const struct netdev_queue *txq)
{
	return netif_xmit_stopped(txq) &&
	       time_after(jiffies, READ_ONCE(txq->trans_start) + txq->dev->watchdog_timeo);
}

/* Packets that wait in the qdisc of @txq */
unsigned int vnm_helper_netdev_queue_backlog(const struct netdev_queue *txq)
{
	const struct Qdisc *q;
	unsigned int n;

	rcu_read_lock();
	q = rcu_dereference(txq->qdisc);
	n = q ? qdisc_qlen_sum(q) : 0;
	rcu_read_unlock();
	return n;
}

void vnm_helper_netif_tx_lock_bh(struct netdev_queue *txq)
{
	__netif_tx_lock_bh(txq);
}

void vnm_helper_netif_tx_unlock_bh(struct netdev_queue *txq)
{
	__netif_tx_unlock_bh(txq);
}

void vnm_helper_netif_tx_lock(struct netdev_queue *txq)
{
	__netif_tx_lock(txq, raw_smp_processor_id());
}

bool vnm_helper_netif_tx_trylock(struct netdev_queue *txq)
{
	return __netif_tx_trylock(txq);
}

bool vnm_helper_netif_xmit_frozen_or_drv_stopped(struct netdev_queue *txq)
{
	return netif_xmit_frozen_or_drv_stopped(txq);
}

void vnm_helper_dev_core_stats_tx_dropped_inc(struct net_device *dev)
{
	dev_core_stats_tx_dropped_inc(dev);
}

/* For the device whose ring the packet was in */
void vnm_helper_skb_tx_dropped_inc(const struct sk_buff *skb)
{
	dev_core_stats_tx_dropped_inc(skb->dev);
}

void vnm_helper_netif_tx_unlock(struct netdev_queue *txq)
{
	__netif_tx_unlock(txq);
}

struct netdev_queue *vnm_helper_netdev_get_tx_queue(struct net_device *dev, unsigned int i)
{
	return netdev_get_tx_queue(dev, i);
}

void vnm_helper_netdev_lock(struct net_device *dev)
{
	netdev_lock(dev);
}

void vnm_helper_netdev_unlock(struct net_device *dev)
{
	netdev_unlock(dev);
}

/* With netdev_lock() held, like all that follows up to napi_set_irq. */
void vnm_helper_netif_napi_add_config(struct net_device *dev, struct napi_struct *napi,
				      int (*poll)(struct napi_struct *, int), int index,
				      int weight)
{
	netif_napi_add_config_locked(dev, napi, poll, index);
	napi->weight = weight;
}

void vnm_helper_netif_napi_add_tx(struct net_device *dev, struct napi_struct *napi,
				  int (*poll)(struct napi_struct *, int), int weight)
{
	set_bit(NAPI_STATE_NO_BUSY_POLL, &napi->state);
	netif_napi_add_weight_locked(dev, napi, poll, weight);
}

/* Zeroed memory that nobody may schedule, until it is added and enabled */
void vnm_helper_napi_init_disabled(struct napi_struct *napi)
{
	set_bit(NAPI_STATE_SCHED, &napi->state);
	napi->list_owner = -1;
}

/* What a deleted instance that is added again must not remember */
void vnm_helper_napi_forget_threaded(struct napi_struct *napi)
{
	clear_bit(NAPI_STATE_THREADED, &napi->state);
	clear_bit(NAPI_STATE_THREADED_BUSY_POLL, &napi->state);
}

void vnm_helper_netif_napi_del_async(struct napi_struct *napi)
{
	__netif_napi_del_locked(napi);
}

void vnm_helper_netif_napi_set_irq(struct napi_struct *napi, int irq)
{
	netif_napi_set_irq_locked(napi, irq);
}

/* Is this a softirq, and @napi on the list of this very CPU if it is scheduled? */
bool vnm_helper_napi_is_next_here(const struct napi_struct *napi)
{
	return in_serving_softirq() && READ_ONCE(napi->list_owner) == smp_processor_id();
}

/*
 * With gro_flush_timeout set: is a poll of @napi that received @work packets to be followed by another
 * one without an interrupt?  As napi_complete_done() will find.
 */
bool vnm_helper_napi_defers_irqs(const struct napi_struct *napi, int work)
{
	return work ? READ_ONCE(napi->defer_hard_irqs) : napi->defer_hard_irqs_count;
}

bool vnm_helper_irqs_disabled(void)
{
	return irqs_disabled();
}

/* Is this code that keeps softirqs off, and nothing more? */
bool vnm_helper_in_process_bh(void)
{
	return !in_serving_softirq() && !irqs_disabled();
}

/*
 * Hands up what GRO holds back, as napi_complete_done() would.  False if there is nothing, or if
 * packets are to be held for longer than a poll (gro_flush_timeout).
 */
bool vnm_helper_napi_gro_flush(struct napi_struct *napi)
{
	struct gro_node *gro = &napi->gro;

	if ((!gro->bitmask && !gro->rx_count) || READ_ONCE(napi->gro_flush_timeout))
		return false;
	gro_flush(gro, false);
	if (gro->rx_count) {
		netif_receive_skb_list(&gro->rx_list);
		INIT_LIST_HEAD(&gro->rx_list);
		gro->rx_count = 0;
	}
	return true;
}

int vnm_helper_smp_processor_id(void)
{
	return raw_smp_processor_id();
}

/* From process context: BH off, so that the softirq runs on the way out */
void vnm_helper_napi_kick(struct napi_struct *napi)
{
	local_bh_disable();
	napi_schedule(napi);
	local_bh_enable();
}

/* --- net_device --- */

void *vnm_helper_netdev_priv(const struct net_device *dev)
{
	return netdev_priv(dev);
}

void vnm_helper_SET_NETDEV_DEV(struct net_device *dev, struct device *parent)
{
	SET_NETDEV_DEV(dev, parent);
}

void vnm_helper_eth_hw_addr_set(struct net_device *dev, const u8 *addr)
{
	eth_hw_addr_set(dev, addr);
}

void vnm_helper_eth_hw_addr_random(struct net_device *dev)
{
	eth_hw_addr_random(dev);
}

/* The receive filter is sent again whenever an address comes or goes; this one is only counted */
void vnm_helper_netdev_refresh_rx_mode(struct net_device *dev)
{
	static const u8 all_hosts[ETH_ALEN] = { 0x01, 0x00, 0x5e, 0x00, 0x00, 0x01 };

	if (!dev_mc_add(dev, all_hosts))
		dev_mc_del(dev, all_hosts);
}

unsigned int vnm_helper_netdev_rx_queue_index(struct netdev_rx_queue *queue)
{
	return get_netdev_rx_queue_index(queue);
}

/* @buf is what sysfs gives to a show function */
ssize_t vnm_helper_sysfs_emit_u32(char *buf, u32 v)
{
	return sysfs_emit(buf, "%u\n", v);
}

bool vnm_helper_netif_carrier_ok(const struct net_device *dev)
{
	return netif_carrier_ok(dev);
}

bool vnm_helper_netif_running(const struct net_device *dev)
{
	return netif_running(dev);
}

void vnm_helper_netif_tx_lock_all_bh(struct net_device *dev)
{
	netif_tx_lock_bh(dev);
}

void vnm_helper_netif_tx_unlock_all_bh(struct net_device *dev)
{
	netif_tx_unlock_bh(dev);
}

void vnm_helper_net_device_set_iff(struct net_device *dev, bool live_addr_change,
				   bool tx_skb_no_linear, bool unicast_flt)
{
	if (live_addr_change)
		dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	if (tx_skb_no_linear)
		dev->priv_flags |= IFF_TX_SKB_NO_LINEAR;
	if (unicast_flt)
		dev->priv_flags |= IFF_UNICAST_FLT;
}

/* Address of entry @ha of an address list, and the entry after it; NULL ends the list */
const struct netdev_hw_addr *
vnm_helper_netdev_hw_addr_next(const struct netdev_hw_addr_list *list,
			       const struct netdev_hw_addr *ha)
{
	const struct list_head *next = ha ? ha->list.next : list->list.next;

	return next == &list->list ? NULL : container_of(next, struct netdev_hw_addr, list);
}

/* --- CPUs and work --- */

unsigned int vnm_helper_num_online_cpus(void)
{
	return num_online_cpus();
}

/* Where @cpu is; threads of one core have the same three */
void vnm_helper_cpu_place(unsigned int cpu, int *node, int *package, int *core)
{
	*node = cpu_to_node(cpu);
	*package = topology_physical_package_id(cpu);
	*core = topology_core_id(cpu);
}

/* The online CPU after @cpu (-1 to start), at least nr_cpu_ids at the end */
unsigned int vnm_helper_cpumask_next_online(int cpu)
{
	return cpumask_next(cpu, cpu_online_mask);
}

#ifndef CONFIG_HOTPLUG_CPU
/* Where no CPU comes or goes these are inline functions, too */
void vnm_helper_cpus_read_lock(void)
{
	cpus_read_lock();
}

void vnm_helper_cpus_read_unlock(void)
{
	cpus_read_unlock();
}
#endif

int vnm_helper_cpuhp_setup_state_multi(const char *name,
				       int (*startup)(unsigned int, struct hlist_node *),
				       int (*teardown)(unsigned int, struct hlist_node *))
{
	return cpuhp_setup_state_multi(CPUHP_AP_ONLINE_DYN, name, startup, teardown);
}

void vnm_helper_cpuhp_remove_multi_state(int state)
{
	cpuhp_remove_multi_state(state);
}

int vnm_helper_cpuhp_state_add_instance_nocalls(int state, struct hlist_node *node)
{
	return cpuhp_state_add_instance_nocalls(state, node);
}

int vnm_helper_cpuhp_state_remove_instance_nocalls(int state, struct hlist_node *node)
{
	return cpuhp_state_remove_instance_nocalls(state, node);
}

void vnm_helper_INIT_WORK(struct work_struct *work, work_func_t func)
{
	INIT_WORK(work, func);
}

/* Each kind has a lock class of its own for lockdep, as one may wait for another. */
void vnm_helper_INIT_DELAYED_WORK(struct delayed_work *work, work_func_t func, unsigned int kind)
{
	switch (kind) {
	case 0:
		INIT_DELAYED_WORK(work, func);
		break;
	case 1:
		INIT_DELAYED_WORK(work, func);
		break;
	case 2:
		INIT_DELAYED_WORK(work, func);
		break;
	default:
		INIT_DELAYED_WORK(work, func);
		break;
	}
}

bool vnm_helper_schedule_delayed_work(struct delayed_work *work, unsigned int ms)
{
	/* As if it were queued anew: what came before this is there for the work to see */
	smp_mb();
	if (delayed_work_pending(work))
		return false;
	return schedule_delayed_work(work, msecs_to_jiffies(ms));
}

/* At once, also if it is queued for later */
void vnm_helper_hasten_delayed_work(struct delayed_work *work)
{
	mod_delayed_work(system_percpu_wq, work, 0);
}

/* --- interrupt moderation --- */

/* The kernel's profiles for receiving, counted from the first packet of an interrupt */
int vnm_helper_net_dim_init_rx(struct net_device *dev)
{
	int err = net_dim_init_irq_moder(dev, DIM_PROFILE_RX,
					 DIM_COALESCE_USEC | DIM_COALESCE_PKTS,
					 DIM_CQ_PERIOD_MODE_START_FROM_EQE, 0, NULL, NULL);

	/* It may have left what it has freed */
	if (err)
		dev->irq_moder = NULL;
	return err;
}

void vnm_helper_net_dim_free(struct net_device *dev)
{
	net_dim_free_irq_moder(dev);
	dev->irq_moder = NULL;
}

bool vnm_helper_net_dim_rx_profile(struct net_device *dev, u8 ix, u32 *usec, u32 *pkts)
{
	const struct dim_cq_moder *profile;

	if (!dev->irq_moder || ix >= NET_DIM_PARAMS_NUM_PROFILES)
		return false;
	rcu_read_lock();
	profile = rcu_dereference(dev->irq_moder->rx_profile);
	if (profile) {
		*usec = profile[ix].usec;
		*pkts = profile[ix].pkts;
	}
	rcu_read_unlock();
	return profile;
}

void vnm_helper_net_dim_sample(struct dim *dim, u16 events, u64 packets, u64 bytes)
{
	struct dim_sample sample = {};

	dim_update_sample(events, packets, bytes, &sample);
	net_dim(dim, &sample);
}

u8 vnm_helper_dim_state_get(const struct dim *dim)
{
	return smp_load_acquire(&dim->state);
}

/* Whoever applied a profile is done with it */
void vnm_helper_dim_start_measure(struct dim *dim)
{
	smp_store_release(&dim->state, DIM_START_MEASURE);
}
