// SPDX-License-Identifier: GPL-2.0
/* AF_XDP: what is inline, and for what runs per packet several of it in one. */

static_assert(__alignof__(struct xdp_buff_xsk) > VNM_TAG_XSK);
static_assert(__alignof__(struct vnm_xsk_slot) > VNM_TAG_XSK);
/* What the driver says of a packet, for programs, is right behind (net/xdp_meta.rs); then comes what is C's */
static_assert(offsetof(struct xdp_buff_xsk, cb) == sizeof(struct xdp_buff));
static_assert(VNM_XSK_MAX_HDR == sizeof(struct virtio_net_hdr_v1_hash_tunnel));
static_assert(VNM_XSK_SLOT_SIZE > VNM_XSK_MAX_HDR);

static struct xdp_buff_xsk *vnm_xskb(struct xdp_buff *xdp)
{
	return container_of(xdp, struct xdp_buff_xsk, xdp);
}

/* --- a pool comes and goes --- */

int vnm_helper_xsk_pool_dma_map(struct xsk_buff_pool *pool, struct device *dev)
{
	return xsk_pool_dma_map(pool, dev, 0);
}

void vnm_helper_xsk_pool_dma_unmap(struct xsk_buff_pool *pool)
{
	xsk_pool_dma_unmap(pool, 0);
}

/* What its buffers say of where they come from, and the word that counts those in a ring */
void vnm_helper_xsk_pool_set_rxq(struct xsk_buff_pool *pool, struct xdp_rxq_info *rxq, u32 *in_ring)
{
	struct xsk_cb_desc desc = {
		.src = &in_ring, .off = VNM_XSK_IN_RING_AT, .bytes = sizeof(in_ring),
	};

	xsk_pool_set_rxq_info(pool, rxq);
	xsk_pool_fill_cb(pool, &desc);
}

/*
 * Its memory stays, and stays mapped, for ever, as does what describes its buffers: who has some of those can tell
 * from the word that counts them that there is no pool any more.
 */
void vnm_helper_xsk_pool_abandon(struct xsk_buff_pool *pool)
{
	refcount_inc(&pool->umem->users);
	/* The core frees what it finds here, and looks at it for nothing else without a device. */
	pool->heads = NULL;
}

unsigned int vnm_helper_xsk_pool_headroom(struct xsk_buff_pool *pool)
{
	return xsk_pool_get_headroom(pool);
}

unsigned int vnm_helper_xsk_pool_rx_frame_size(struct xsk_buff_pool *pool)
{
	return xsk_pool_get_rx_frame_size(pool);
}

unsigned int vnm_helper_xsk_pool_rx_frag_step(struct xsk_buff_pool *pool)
{
	return xsk_pool_get_rx_frag_step(pool);
}

/* Do its sockets take packets in several buffers, for which these have room behind? */
bool vnm_helper_xsk_pool_is_sg(const struct xsk_buff_pool *pool)
{
	return pool->umem->flags & XDP_UMEM_SG_FLAG;
}

/* --- receiving --- */

/*
 * Posts up to @n buffers of @pool, of each @len bytes from @hdr_len bytes before its data on.  Returns how
 * many; if that isn't all of them, @err says why: -ENODATA if there are no more, else what the queue said.
 *
 * One call for a refill, instead of one for each buffer.  What the queue said stays in a register.
 */
unsigned int vnm_helper_virtqueue_post_xsk(struct virtqueue *vq, struct xsk_buff_pool *pool,
					   unsigned int n, unsigned int hdr_len, unsigned int len,
					   gfp_t gfp, int *err)
{
	struct xdp_buff *bufs[64] __uninitialized;
	struct scatterlist sg __uninitialized;
	unsigned int posted = 0;
	int why = 0;

	sg.page_link = SG_END;
	sg_dma_len(&sg) = len;
	while (posted < n && !why) {
		unsigned int want = min(n - posted, ARRAY_SIZE(bufs));
		unsigned int got = xsk_buff_alloc_batch(pool, bufs, want);
		struct xdp_buff **at = bufs, **end = bufs + got;

		for (; at < end; at++) {
			sg_dma_address(&sg) = xsk_buff_xdp_get_dma(*at) - hdr_len;
			why = virtqueue_add_inbuf_premapped(vq, &sg, 1, (void *)*at + VNM_TAG_XSK,
							    NULL, gfp);
			if (unlikely(why))
				break;
		}
		posted += at - bufs;
		for (; at < end; at++)
			xsk_buff_free(*at);
		if (got < want && !why)
			why = -ENODATA;
	}
	*err = why;
	return posted;
}

/* A buffer that was in a ring, and isn't any more, goes back to its pool */
void vnm_helper_xsk_buff_unpost(struct xdp_buff *xdp)
{
	u32 *in_ring;

	memcpy(&in_ring, vnm_xskb(xdp)->cb + VNM_XSK_IN_RING_AT, sizeof(in_ring));
	if (*in_ring == VNM_XSK_ABANDONED)
		return;
	WRITE_ONCE(*in_ring, *in_ring - 1);
	xsk_buff_free(xdp);
}

void vnm_helper_xsk_buff_free(struct xdp_buff *xdp)
{
	xsk_buff_free(xdp);
}

/*
 * The device has written @before bytes before the packet's data, and @len bytes of that: they can be read.
 * The bytes before are copied to @hdr, VNM_XSK_MAX_HDR in any case.
 *
 * One call instead of three.
 */
void vnm_helper_xsk_buff_begin(struct xdp_buff *xdp, unsigned int before, unsigned int len, void *hdr)
{
	struct xdp_buff_xsk *xskb = vnm_xskb(xdp);

	dma_sync_single_for_cpu(xskb->pool->dev, xskb->dma - before, before + len,
				DMA_BIDIRECTIONAL);
	xsk_buff_set_size(xdp, len);
	memcpy(hdr, xdp->data - before, VNM_XSK_MAX_HDR);
}

/* The same for a later buffer of a packet, where its bytes begin @before bytes earlier */
void vnm_helper_xsk_buff_go_on(struct xdp_buff *xdp, unsigned int before, unsigned int len)
{
	struct xdp_buff_xsk *xskb = vnm_xskb(xdp);

	dma_sync_single_for_cpu(xskb->pool->dev, xskb->dma - before, len, DMA_BIDIRECTIONAL);
	xsk_buff_set_size(xdp, len);
	xdp->data -= before;
	xdp->data_meta = xdp->data;
	xdp->data_end = xdp->data + len;
}

/*
 * How many buffers a packet has behind the first one, and how many @bytes they have of it.
 *
 * The core says so behind the data of the first one as well (struct skb_shared_info).  That is in a chunk, so that user space can write
 * there at any time: it is kept right for programs and for the core, but nothing that it says may be believed.  The list and what
 * stands in it are the kernel's.  Who in the core believes it all the same stands in SECURITY.md.
 */
static unsigned int vnm_xsk_frags(const struct xsk_buff_pool *pool, unsigned int *bytes)
{
	const struct xdp_buff_xsk *frag;
	unsigned int n = 0;

	*bytes = 0;
	list_for_each_entry(frag, &pool->xskb_list, list_node) {
		*bytes += frag->xdp.data_end - frag->xdp.data;
		n++;
	}
	return n;
}

/*
 * @xdp goes on with the packet that begins with @head, as vnm_helper_xsk_buff_go_on() has it.  False if the packet has too many buffers,
 * or @xdp is one of them or a free one: user space has posted its chunk twice.  It is left as it was then.
 *
 * xsk_buff_add_frag() counts by what user space can write to, and looks at no list.
 */
bool vnm_helper_xsk_buff_append(struct xdp_buff *head, struct xdp_buff *xdp, unsigned int before, unsigned int len)
{
	struct skb_shared_info *sinfo = xdp_get_shared_info_from_buff(head);
	struct xdp_buff_xsk *frag = vnm_xskb(xdp);
	unsigned int n, bytes;
	struct xdp_buff *left;

	/* A helper of the core that user space misled may have forgotten some of a packet before */
	if (!xdp_buff_has_frags(head)) {
		while ((left = xsk_buff_get_frag(head)))
			xsk_buff_free(left);
	}
	if (unlikely(xdp == head || !list_empty(&frag->list_node)))
		return false;
	n = vnm_xsk_frags(frag->pool, &bytes);
	if (unlikely(n >= MAX_SKB_FRAGS))
		return false;
	vnm_helper_xsk_buff_go_on(xdp, before, len);
	skb_frag_fill_netmem_desc(&sinfo->frags[n], virt_to_netmem(xdp->data), offset_in_page(xdp->data), len);
	sinfo->nr_frags = n + 1;
	sinfo->xdp_frags_size = bytes + len;
	sinfo->xdp_frags_truesize = (n + 1) * xdp->frame_sz;
	xdp_buff_set_frags_flag(head);
	list_add_tail(&frag->list_node, &frag->pool->xskb_list);
	return true;
}

/* As vnm_helper_xdp_csum_complete(), for a packet in buffers of a pool */
bool vnm_helper_xsk_csum_complete(struct xdp_buff *xdp, unsigned int start, unsigned int offset)
{
	unsigned int len = vnm_csum_len(xdp, start, offset);
	const struct xdp_buff_xsk *frag;
	__wsum csum;

	if (!len)
		return false;
	csum = csum_partial(xdp->data + start, len, 0);
	if (unlikely(xdp_buff_has_frags(xdp))) {
		list_for_each_entry(frag, &vnm_xskb(xdp)->pool->xskb_list, list_node)
			csum = vnm_csum_more(csum, &len, frag->xdp.data, frag->xdp.data_end - frag->xdp.data);
	}
	vnm_csum_put(xdp->data + start + offset, csum);
	return true;
}

/* Takes the next one out of it */
struct xdp_buff *vnm_helper_xsk_buff_get_frag(struct xdp_buff *head)
{
	struct xdp_buff *frag;

	if (!xdp_buff_has_frags(head))
		return NULL;
	frag = xsk_buff_get_frag(head);
	if (!frag) {
		xdp_get_shared_info_from_buff(head)->nr_frags = 0;
		xdp_buff_clear_frags_flag(head);
	}
	return frag;
}

/* Has what a device writes to mapped buffers of @pool to be made readable?  That it hasn't stays so while they are mapped. */
bool vnm_helper_xsk_pool_needs_sync(const struct xsk_buff_pool *pool)
{
	return dma_dev_need_sync(pool->dev);
}

/*
 * Has @prog judge @n packets from @p on, each of which is in one buffer and readable, as long as it redirects them from @dev.
 * Returns how many are gone; if those aren't all, @act is what it said of the next one, or XDP_REDIRECT if that failed.
 *
 * One call for as many packets as are judged together, instead of three for each.
 */
unsigned int vnm_helper_xsk_redirect(struct bpf_prog *prog, struct net_device *dev,
				     const struct vnm_xsk_packet *p, unsigned int n, u32 *act)
{
	const struct vnm_xsk_packet *at = p, *end = p + n;
	u32 said = XDP_REDIRECT;

	for (; at < end; at++) {
		struct xdp_buff *xdp = at->xdp;

		xsk_buff_set_size(xdp, at->len);
		said = bpf_prog_run_xdp(prog, xdp);
		if (said != XDP_REDIRECT || unlikely(xdp_do_redirect(dev, xdp, prog)))
			break;
	}
	*act = said;
	return at - p;
}

/* A new skb with a copy of the packet's first buffer and its metadata; NULL without memory.  In a poll. */
struct sk_buff *vnm_helper_napi_copy_xsk_skb(struct napi_struct *napi, const struct xdp_buff *xdp)
{
	const void *from = xdp_data_meta_unsupported((struct xdp_buff *)xdp) ? xdp->data :
									       xdp->data_meta;
	unsigned int meta = xdp->data - from, size = xdp->data_end - from;
	struct sk_buff *skb = napi_alloc_skb(napi, size);

	if (unlikely(!skb))
		return NULL;
	skb_mark_for_recycle(skb);
	memcpy(__skb_put(skb, size), from, size);
	if (meta) {
		__skb_pull(skb, meta);
		skb_metadata_set(skb, meta);
	}
	return skb;
}

/*
 * A frame with a copy of a packet, whose buffer goes back; NULL without memory, or if it has several.
 *
 * xdp_convert_zc_to_xdp_frame() would leave no room before the data.
 */
struct xdp_frame *vnm_helper_xsk_to_frame(struct xdp_buff *xdp)
{
	unsigned int len = xdp->data_end - xdp->data;
	struct xdp_frame *frame;
	struct page *page;

	if (xdp_buff_has_frags(xdp) ||
	    sizeof(*frame) + VNM_XSK_FRAME_ROOM + len > SKB_WITH_OVERHEAD(PAGE_SIZE))
		return NULL;
	page = dev_alloc_page();
	if (!page)
		return NULL;
	frame = page_address(page);
	memset(frame, 0, sizeof(*frame));
	frame->data = (void *)(frame + 1) + VNM_XSK_FRAME_ROOM;
	frame->len = len;
	frame->headroom = VNM_XSK_FRAME_ROOM;
	frame->frame_sz = PAGE_SIZE;
	frame->mem_type = MEM_TYPE_PAGE_ORDER0;
	memcpy(frame->data, xdp->data, len);
	xsk_buff_free(xdp);
	return frame;
}

/* --- sending --- */

/* NEEDS_CSUM and its two fields are what user space asks for */
static void vnm_xsk_request_checksum(u16 csum_start, u16 csum_offset, void *priv)
{
	struct virtio_net_hdr *hdr = priv;

	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = (__force __virtio16)cpu_to_le16(csum_start);
	hdr->csum_offset = (__force __virtio16)cpu_to_le16(csum_offset);
}

static const struct xsk_tx_metadata_ops vnm_xsk_tx_metadata_ops = {
	.tmo_request_checksum = vnm_xsk_request_checksum,
};

void vnm_helper_netdev_set_xsk_csum(struct net_device *dev)
{
	dev->xsk_tx_metadata_ops = &vnm_xsk_tx_metadata_ops;
}

/* A checksum that isn't inside of @len bytes is nobody's */
static void vnm_xsk_check_csum(struct virtio_net_hdr *hdr, unsigned int len)
{
	unsigned int at = le16_to_cpu((__force __le16)hdr->csum_start) +
			  le16_to_cpu((__force __le16)hdr->csum_offset);

	if (hdr->flags && at + sizeof(__sum16) > len)
		memset(hdr, 0, sizeof(*hdr));
}

static unsigned int vnm_xsk_packet_descs(const struct xdp_desc *descs, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (xsk_is_eop_desc(&descs[i]))
			return i + 1;
	return 0;
}

/* The header of a packet of @len bytes that begins with @desc: what user space asks for, and zeroes else */
static void vnm_xsk_header(struct vnm_xsk_tx *tx, const struct xdp_desc *desc, unsigned int len, void *hdr)
{
	struct xsk_tx_metadata *meta;

	/* The longest one: the packet, if it is right behind, comes afterwards */
	memset(hdr, 0, VNM_XSK_MAX_HDR);
	if (likely(!(desc->options & XDP_TX_METADATA)) || !tx->csum)
		return;
	meta = xsk_buff_get_metadata(tx->pool, desc->addr, desc->options);
	if (!meta)
		return;
	xsk_tx_metadata_request(tx->pool, &meta, &vnm_xsk_tx_metadata_ops, hdr);
	vnm_xsk_check_csum(hdr, len);
}

/* Describes what is sent of user space's memory by @sg.  Returns how much it is. */
static inline unsigned int vnm_xsk_describe_desc(struct scatterlist *sg, struct vnm_xsk_tx *tx,
						 const struct xdp_desc *desc)
{
	dma_addr_t dma = xsk_buff_raw_get_dma(tx->pool, desc->addr);

	xsk_buff_raw_dma_sync_for_device(tx->pool, dma, desc->len);
	vnm_sg_fill_dma(sg, dma, desc->len);
	return desc->len;
}

/* Adds the packet of @n descriptors from @descs on, by slot @i, behind its header.  0 or what the queue says. */
static noinline int vnm_xsk_add_parts(struct virtqueue *vq, struct vnm_xsk_tx *tx, const struct xdp_desc *descs,
				      unsigned int n, unsigned int i)
{
	/* Zeroes for all of it would cost more than the rest */
	struct scatterlist sg[MAX_SKB_FRAGS + 2] __uninitialized;
	struct vnm_xsk_slot *slot = &tx->slots[i];
	unsigned int k, len = 0;

	if (unlikely(n > MAX_SKB_FRAGS + 1))
		return -EINVAL;
	vnm_sg_fill_dma(&sg[0], tx->dma + i * VNM_XSK_SLOT_SIZE, tx->hdr_len);
	for (k = 0; k < n; k++)
		len += vnm_xsk_describe_desc(&sg[k + 1], tx, &descs[k]);
	sg_mark_end(&sg[n]);
	slot->bytes = len;
	vnm_xsk_header(tx, descs, len, tx->bufs + i * VNM_XSK_SLOT_SIZE);
	return virtqueue_add_outbuf_premapped(vq, sg, n + 1, (void *)slot + VNM_TAG_XSK, GFP_ATOMIC);
}

/*
 * The same for a packet of one descriptor.  A small one is copied behind the header: one descriptor instead of two, or
 * of a table, and user space has its buffer back at once.
 */
static inline int vnm_xsk_add_one(struct virtqueue *vq, struct vnm_xsk_tx *tx, const struct xdp_desc *desc,
				  unsigned int i)
{
	struct vnm_xsk_slot *slot = &tx->slots[i];
	void *hdr = tx->bufs + i * VNM_XSK_SLOT_SIZE;
	dma_addr_t dma = tx->dma + i * VNM_XSK_SLOT_SIZE;
	struct scatterlist sg[2] __uninitialized;

	slot->bytes = desc->len;
	vnm_xsk_header(tx, desc, desc->len, hdr);
	if (desc->len > VNM_XSK_SLOT_SIZE - tx->hdr_len) {
		vnm_sg_fill_dma(&sg[0], dma, tx->hdr_len);
		vnm_xsk_describe_desc(&sg[1], tx, desc);
		sg[1].page_link = SG_END;
		return virtqueue_add_outbuf_premapped(vq, sg, 2, (void *)slot + VNM_TAG_XSK, GFP_ATOMIC);
	}
	slot->copied = true;
	memcpy(hdr + tx->hdr_len, xsk_buff_raw_get_data(tx->pool, desc->addr), desc->len);
	vnm_sg_fill_dma(&sg[0], dma, tx->hdr_len + desc->len);
	sg[0].page_link = SG_END;
	return virtqueue_add_outbuf_premapped(vq, sg, 1, (void *)slot + VNM_TAG_XSK, GFP_ATOMIC);
}

/*
 * Sends packets of up to @budget descriptors, and no more packets than that.  There are as many slots free from
 * tx->head on.  What can't be sent is done with at once.  Returns how many descriptors were taken, all of which
 * are in slots now; *@added is how many packets the queue has got, *@lost how many it hasn't.
 *
 * One call for a batch, instead of three for each packet.
 */
unsigned int vnm_helper_virtqueue_send_xsk(struct virtqueue *vq, struct vnm_xsk_tx *tx,
					   unsigned int budget, unsigned int *added, unsigned int *lost)
{
	unsigned int taken = xsk_tx_peek_release_desc_batch(tx->pool, budget), at = 0;
	/* Only now: the first socket that sends brings the array, and is in the pool's list afterwards */
	const struct xdp_desc *descs = tx->pool->tx_descs;

	*added = 0;
	*lost = 0;
	while (at < taken) {
		unsigned int i = tx->head & tx->mask, n = vnm_xsk_packet_descs(descs + at, taken - at);
		struct vnm_xsk_slot *slot = &tx->slots[i];
		int err;

		slot->copied = false;
		slot->done = false;
		slot->descs = n ?: taken - at;
		if (n == 1)
			err = vnm_xsk_add_one(vq, tx, &descs[at], i);
		else
			err = n ? vnm_xsk_add_parts(vq, tx, &descs[at], n, i) : -EINVAL;
		if (likely(!err)) {
			++*added;
		} else {
			slot->done = true;
			++*lost;
		}
		at += slot->descs;
		tx->head++;
	}
	return taken;
}
