// SPDX-License-Identifier: GPL-2.0
/*
 * Several functions of the kernel in one, for what runs per packet.  A helper is called, and on CPUs with
 * speculation mitigations a call and its return cost more than most of these functions do; so what C's
 * drivers have inline, one after the other, is called once from Rust.  Each says what it saves.
 */

/* --- virtio --- */

/*
 * May whoever adds memory to @vq say its physical addresses, as if it had mapped them?  The core would find the
 * same ones out, by way of each one's page.  KMSAN wants to be told of each by the core.
 */
bool vnm_helper_virtqueue_takes_phys(const struct virtqueue *vq)
{
	return !IS_ENABLED(CONFIG_KMSAN) && !vq->vdev->map &&
	       !virtqueue_dma_dev((struct virtqueue *)vq);
}

/*
 * What is in the linear map, as pages of pools and frames are, has addresses that all differ from the physical ones by the
 * same number, once KASAN's tags are off, of which each page has one of its own.  virt_to_phys() has to look which kind of
 * address it is.
 */
static __always_inline unsigned long vnm_phys_offset(void *va)
{
	return virt_to_phys(va) - (unsigned long)kasan_reset_tag(va);
}

static __always_inline phys_addr_t vnm_phys_at(void *va, unsigned long offset)
{
	return (unsigned long)kasan_reset_tag(va) + offset;
}

/*
 * Posts one piece of a page at @va, whose address for the device is @addr if @p has such.  @sg is an entry that ends a
 * list, with its length.
 */
static __always_inline int vnm_post_one(struct virtqueue *vq, const struct vnm_post *p,
					struct scatterlist *sg, void *va, dma_addr_t addr)
{
	if (likely(p->phys || p->dev)) {
		sg_dma_address(sg) = addr + p->offset;
		return virtqueue_add_inbuf_premapped(vq, sg, 1, va, p->ctx, p->gfp);
	}
	sg_set_page(sg, virt_to_page(va), p->len, offset_in_page(va) + p->offset);
	return virtqueue_add_inbuf_ctx(vq, sg, 1, va, p->ctx, p->gfp);
}

/* The same for a piece that was in use, and is the device's again */
static int vnm_post_spare(struct virtqueue *vq, const struct vnm_post *p, struct scatterlist *sg,
			  void *va)
{
	dma_addr_t addr = virt_to_phys(va);

	if (p->dev) {
		struct page *page = virt_to_head_page(va);

		addr = page_pool_get_dma_addr(page) + (va - page_address(page));
		dma_sync_single_for_device(p->pool->p.dev, addr + p->offset, p->len,
					   DMA_FROM_DEVICE);
	}
	return vnm_post_one(vq, p, sg, va, addr);
}

/*
 * The same for a new page: a whole one, or up to @n pieces of it.  Those that aren't posted are kept at hand.  Returns how many
 * were.
 *
 * page_pool_alloc_frag() has sizes of any kind to add up and hands out references one by one.
 */
static __always_inline unsigned int vnm_post_page(struct virtqueue *vq, struct vnm_post *p,
						  struct scatterlist *sg, unsigned int n)
{
	struct page *page = page_pool_alloc_pages(p->pool, p->gfp);
	unsigned int at, posted = 0;
	dma_addr_t addr;
	void *va;

	if (unlikely(!page)) {
		p->err = -ENODATA;
		return 0;
	}
	va = page_address(page);
	addr = likely(p->phys) ? page_to_phys(page) : p->dev ? page_pool_get_dma_addr(page) : 0;
	if (!p->piece) {
		p->err = vnm_post_one(vq, p, sg, va, addr);
		if (likely(!p->err))
			return 1;
		page_pool_put_page(p->pool, page, -1, false);
		return 0;
	}
	page_pool_fragment_page(page, PAGE_SIZE / VNM_PIECE);
	for (at = 0; at < PAGE_SIZE && posted < n; at += VNM_PIECE, posted++) {
		p->err = vnm_post_one(vq, p, sg, va + at, addr + at);
		if (unlikely(p->err))
			break;
	}
	/* There are none: that is why there is a page. */
	for (; unlikely(at < PAGE_SIZE); at += VNM_PIECE)
		p->spare[p->spares++] = va + at;
	return posted;
}

/*
 * The same for new pages, whole or all of their pieces (of @piece bytes), up to @n; @p has addresses for the device.
 *
 * Most buffers are of these.  What is the same for all isn't read again for each, as it would be if it stayed in @p: the
 * compiler can't know that the functions that are called leave that alone.
 */
static __always_inline unsigned int vnm_post_all(struct virtqueue *vq, struct vnm_post *p,
						 struct scatterlist *sg, unsigned int n,
						 const unsigned int piece)
{
	const unsigned int pieces = PAGE_SIZE / piece;
	struct page_pool *pool = p->pool;
	unsigned int at, posted = 0;
	void *ctx = p->ctx, *va;
	u32 offset = p->offset;
	bool phys = p->phys;
	gfp_t gfp = p->gfp;
	struct page *page;
	int err;

	for (; n - posted >= pieces; posted += pieces) {
		dma_addr_t addr;

		page = page_pool_alloc_pages(pool, gfp);
		if (unlikely(!page)) {
			p->err = -ENODATA;
			return posted;
		}
		if (pieces > 1)
			page_pool_fragment_page(page, pieces);
		va = page_address(page);
		addr = (likely(phys) ? page_to_phys(page) : page_pool_get_dma_addr(page)) + offset;
		/* Two of them where pages have 4 KiB: each with its place as a constant */
#pragma GCC unroll 2
		for (at = 0; at < PAGE_SIZE; at += piece) {
			sg_dma_address(sg) = addr + at;
			err = virtqueue_add_inbuf_premapped(vq, sg, 1, va + at, ctx, gfp);
			if (unlikely(err))
				goto refused;
		}
	}
	return posted;

refused:
	p->err = err;
	if (pieces == 1) {
		page_pool_put_page(pool, page, -1, false);
		return posted;
	}
	posted += at / piece;
	/* There are none: that is why there is a page. */
	for (; at < PAGE_SIZE; at += piece)
		p->spare[p->spares++] = va + at;
	return posted;
}

static unsigned int vnm_post_whole(struct virtqueue *vq, struct vnm_post *p, struct scatterlist *sg,
				   unsigned int n)
{
	return vnm_post_all(vq, p, sg, n, PAGE_SIZE);
}

static unsigned int vnm_post_pieces(struct virtqueue *vq, struct vnm_post *p,
				    struct scatterlist *sg, unsigned int n)
{
	return vnm_post_all(vq, p, sg, n, VNM_PIECE);
}

/* The same for up to @n pieces that were in use, where the device takes physical addresses */
static unsigned int vnm_post_spares(struct virtqueue *vq, struct vnm_post *p,
				    struct scatterlist *sg, unsigned int n)
{
	unsigned int first = p->spares - min(n, p->spares), spares = p->spares;
	unsigned long offset = vnm_phys_offset(p->spare[first]) + p->offset;
	void **spare = p->spare, *ctx = p->ctx;
	gfp_t gfp = p->gfp;

	while (spares > first) {
		void *va = spare[spares - 1];
		int err;

		sg_dma_address(sg) = vnm_phys_at(va, offset);
		err = virtqueue_add_inbuf_premapped(vq, sg, 1, va, ctx, gfp);
		if (unlikely(err)) {
			p->err = err;
			break;
		}
		spares--;
	}
	n = p->spares - spares;
	p->spares = spares;
	return n;
}

/*
 * Posts up to @n pieces of pages; the token of each is its address.  Returns how many.
 *
 * One call for a refill, instead of two for each buffer: the pool's and the ring's.
 */
unsigned int vnm_helper_virtqueue_post_frags(struct virtqueue *vq, struct vnm_post *p,
					     unsigned int n)
{
	struct scatterlist sg __uninitialized;
	unsigned int i = 0;

	sg.page_link = SG_END;
	sg_dma_len(&sg) = p->len;
	p->err = p->dev && (!p->pool->dma_map || p->pool->p.dev != p->dev) ? -EINVAL : 0;
	while (i < n && !p->err) {
		if (p->piece && p->spares) {
			if (likely(p->phys)) {
				i += vnm_post_spares(vq, p, &sg, n - i);
				continue;
			}
			p->err = vnm_post_spare(vq, p, &sg, p->spare[p->spares - 1]);
			if (likely(!p->err)) {
				p->spares--;
				i++;
			}
		} else if (unlikely(!p->phys && !p->dev) ||
			   (p->piece && n - i < PAGE_SIZE / VNM_PIECE)) {
			i += vnm_post_page(vq, p, &sg, n - i);
		} else if (p->piece) {
			i += vnm_post_pieces(vq, p, &sg, n - i);
		} else {
			i += vnm_post_whole(vq, p, &sg, n - i);
		}
	}
	return i;
}

/*
 * Takes up to @n used buffers; returns how many there were.  What the device wrote to one of them comes
 * from its CPU's cache or from memory: that is asked for here, for all of them at once.  It begins @at
 * bytes behind the buffer's address.
 *
 * One call for as many as are taken together, instead of one for each, and one for each prefetch.
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

/* --- sk_buff: sending --- */

/* A marked end is taken off an entry by writing it anew, so the table needs no initialisation */
static __always_inline void vnm_sg_fill_dma(struct scatterlist *sg, dma_addr_t addr,
					    unsigned int len)
{
	sg->page_link = 0;
	sg_dma_address(sg) = addr;
	sg_dma_len(sg) = len;
}

static __always_inline void vnm_sg_fill(struct scatterlist *sg, struct page *page,
					unsigned int len, unsigned int offset, unsigned int form)
{
	if (likely(form & VNM_SG_PHYS)) {
		vnm_sg_fill_dma(sg, page_to_phys(page) + offset, len);
	} else {
		sg->page_link = 0;
		sg_set_page(sg, page, len, offset);
	}
}

static __always_inline void vnm_sg_fill_buf(struct scatterlist *sg, const void *va,
					    unsigned int len, unsigned int form)
{
	if (likely(form & VNM_SG_PHYS))
		vnm_sg_fill_dma(sg, virt_to_phys((void *)va), len);
	else
		vnm_sg_fill(sg, virt_to_page(va), len, offset_in_page(va), 0);
}

/* All of a list */
static __always_inline void vnm_sg_fill_one(struct scatterlist *sg, const void *va,
					    unsigned int len, unsigned int form)
{
	vnm_sg_fill_buf(sg, va, len, form);
	sg->page_link |= SG_END;
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

/* May the header be right before the data of @skb? */
static __always_inline bool vnm_can_push_hdr(const struct sk_buff *skb, unsigned int form)
{
	return form & VNM_HDR_ANY_LAYOUT && !skb_header_cloned(skb) &&
	       skb_headroom(skb) >= (form & VNM_HDR_LEN) &&
	       IS_ALIGNED((unsigned long)skb->data, __alignof__(struct virtio_net_hdr_mrg_rxbuf));
}

static __always_inline long vnm_xmit_segs(const struct sk_buff *skb)
{
	return skb_is_gso(skb) ? (long)vnm_gso_segs(skb) << VNM_XMIT_SEGS_SHIFT : 0;
}

/*
 * The same as vnm_helper_skb_map_xmit() for a packet in pieces, which is copied into its own headroom, header
 * first, for one entry of @sg; 0 if that can't be done.
 *
 * One call, instead of one for the header, one for the room, one for each piece and one for the list.
 */
long vnm_helper_skb_copy_xmit(struct sk_buff *skb, struct scatterlist *sg, unsigned int form)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	unsigned int hdr_len = form & VNM_HDR_LEN, len = hdr_len + skb->len, i, at = hdr_len;
	u8 *to;

	/* The header stays aligned: skb->data is, or it couldn't be pushed */
	if (!vnm_can_push_hdr(skb, form) || skb_headroom(skb) < ALIGN(len, 4) ||
	    shinfo->frag_list || !skb_frags_readable(skb))
		return 0;
	to = skb->data - ALIGN(len, 4);
	memcpy(to + at, skb->data, skb_headlen(skb));
	at += skb_headlen(skb);
	for (i = 0; i < shinfo->nr_frags; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];

		memcpy(to + at, skb_frag_address(frag), skb_frag_size(frag));
		at += skb_frag_size(frag);
	}
	vnm_sg_fill_one(sg, to, len, form);
	if (unlikely(vnm_put_hdr(skb, to, form)))
		return -EINVAL;
	return 1 | vnm_xmit_segs(skb);
}

/* The same as vnm_helper_skb_map_xmit(), for any packet */
static noinline long vnm_skb_map_xmit(struct sk_buff *skb, struct scatterlist *sg, void *saved,
				      unsigned int form)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	unsigned int hdr_len = form & VNM_HDR_LEN, flags = 0, n = 1, i;
	void *hdr = skb->data - hdr_len;

	if (likely(vnm_can_push_hdr(skb, form))) {
		vnm_sg_fill_buf(sg, hdr, skb_headlen(skb) + hdr_len, form);
	} else {
		hdr = skb->cb;
		memcpy(saved, hdr, sizeof(struct virtio_net_hdr_v1_hash_tunnel));
		flags = VNM_XMIT_HDR_IN_CB;
		vnm_sg_fill_buf(sg, hdr, hdr_len, form);
		if (skb_headlen(skb))
			vnm_sg_fill_buf(&sg[n++], skb->data, skb_headlen(skb), form);
	}
	if (unlikely(shinfo->frag_list || shinfo->nr_frags > MAX_SKB_FRAGS))
		return -EINVAL;
	for (i = 0; i < shinfo->nr_frags; i++) {
		const skb_frag_t *frag = &shinfo->frags[i];

		vnm_sg_fill(&sg[n++], skb_frag_page(frag), skb_frag_size(frag),
			    skb_frag_off(frag), form);
	}
	sg_mark_end(&sg[n - 1]);
	if (unlikely(vnm_put_hdr(skb, hdr, form))) {
		if (flags)
			memcpy(hdr, saved, sizeof(struct virtio_net_hdr_v1_hash_tunnel));
		return -EINVAL;
	}
	return n | flags | vnm_xmit_segs(skb);
}

/*
 * All that a packet takes to be added to a ring: its header is written where the device is to read it,
 * and header and packet are described in @sg, of MAX_SKB_FRAGS + 2 entries of any content.  The header
 * goes right before the data if it may, else into the control buffer; what that had goes to
 * @saved (24 bytes).  See enum vnm_hdr_form for @form and enum vnm_xmit_map for the result; or -EINVAL:
 * then no header can say what the packet is, or it has more pieces than @sg.
 *
 * One call, instead of one for the header, one to see whether there is room for it, and one for the list.
 * Most packets are in one piece with room for the header, and that is seen to first.
 */
long vnm_helper_skb_map_xmit(struct sk_buff *skb, struct scatterlist *sg, void *saved,
			     unsigned int form)
{
	const struct skb_shared_info *shinfo = skb_shinfo(skb);
	void *hdr = skb->data - (form & VNM_HDR_LEN);

	if (unlikely(!vnm_can_push_hdr(skb, form) || shinfo->nr_frags || shinfo->gso_size ||
		     shinfo->frag_list))
		return vnm_skb_map_xmit(skb, sg, saved, form);
	vnm_sg_fill_one(sg, hdr, skb->len + (form & VNM_HDR_LEN), form);
	vnm_put_hdr(skb, hdr, form);
	return 1;
}

/* --- sk_buff: receiving --- */

/*
 * The metadata of a received frame, which virtio_net_hdr_tnl_to_skb() and eth_type_trans() want in this
 * order; 0, or an error: then it can only be freed.  @hdr has the longest form with @tunnel, else 10 bytes
 * at least.  What wasn't negotiated is not in it any more.
 *
 * One call instead of six.
 */
static __always_inline int vnm_rx_prepare(struct sk_buff *skb, struct net_device *dev,
					  struct virtio_net_hdr *hdr, u16 rxq, bool tunnel)
{
	int err = virtio_net_handle_csum_offload(skb, hdr, true);

	if (unlikely(err))
		return err;
	skb->dev = dev;
	/* Of a header that asks for neither the function makes nothing */
	if (tunnel || hdr->gso_type || hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		skb_set_network_header(skb, ETH_HLEN);
		err = tunnel ? virtio_net_hdr_tnl_to_skb(skb, (void *)hdr, true, true, true) :
			       virtio_net_hdr_to_skb(skb, hdr, true);
		if (unlikely(err))
			return err;
	}
	skb_record_rx_queue(skb, rxq);
	skb->protocol = eth_type_trans(skb, dev);
	return 0;
}

int vnm_helper_skb_rx_prepare(struct sk_buff *skb, struct net_device *dev,
			      struct virtio_net_hdr *hdr, u16 rxq)
{
	return vnm_rx_prepare(skb, dev, hdr, rxq, false);
}

/* The same for a frame in a tunnel */
int vnm_helper_skb_rx_prepare_tunnel(struct sk_buff *skb, struct net_device *dev,
				     struct virtio_net_hdr_v1_hash_tunnel *hdr, u16 rxq)
{
	return vnm_rx_prepare(skb, dev, (struct virtio_net_hdr *)hdr, rxq, true);
}

/*
 * A new skb around the @truesize bytes at @va, a piece of a page-pool page, with @len bytes of data
 * after @headroom.  Its memory goes back to the pool.
 *
 * One call instead of four.
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
 *
 * One call instead of three, and no memcpy() of a length that isn't known.
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

/* --- page pool --- */

/*
 * What the device wrote to @len bytes from @va on, in a page of a pool that maps, can be read.
 *
 * One call instead of four.
 */
void vnm_helper_page_pool_sync_for_cpu(const void *va, unsigned int len)
{
	struct page *page = virt_to_head_page(va);
	struct page_pool *pool = pp_page_to_nmdesc(page)->pp;

	if (pool->dma_map)
		page_pool_dma_sync_for_cpu(pool, page, va - page_address(page), len);
}

/* --- queues and NAPI --- */

/*
 * What ndo_start_xmit of @skb for @txq begins with: its timestamp, and whether more follow; or -1, and
 * nothing was done, without the queue's lock.
 *
 * One call instead of three.
 */
int vnm_helper_netdev_xmit_begin(struct netdev_queue *txq, struct sk_buff *skb)
{
	if (unlikely(!netif_tx_owned(txq, smp_processor_id())))
		return -1;
	skb_tx_timestamp(skb);
	return netdev_xmit_more();
}

/* Returns whether the driver has stopped @txq.  One call instead of two. */
bool vnm_helper_netdev_tx_completed_queue(struct netdev_queue *txq, unsigned int pkts,
					  unsigned int bytes)
{
	netdev_tx_completed_queue(txq, pkts, bytes);
	return netif_tx_queue_stopped(txq);
}
