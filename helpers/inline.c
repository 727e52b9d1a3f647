// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions and macros of the kernel's headers, one each; some with arguments that are easier to
 * give from Rust.  Nothing is decided here.
 */

/* The crate's own wants a file of the kernel's object tree, which distributions don't install */
void vnm_helper_warn(const char *why)
{
	WARN(1, "%s\n", why);
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

/* Interrupt of MSI-X entry @nr of the PCI function @dev, or negative */
int vnm_helper_pci_irq_of(struct device *dev, unsigned int nr)
{
	return dev && dev_is_pci(dev) ? pci_irq_vector(to_pci_dev(dev), nr) : -ENODEV;
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

void vnm_helper_sg_table_init(struct scatterlist *sg, unsigned int nents)
{
	sg_init_table(sg, nents);
}

void vnm_helper_sg_set_buf(struct scatterlist *sg, const void *va, unsigned int len)
{
	sg_set_buf(sg, va, len);
}

/* --- sk_buff --- */

void vnm_helper_skb_tx_timestamp(struct sk_buff *skb)
{
	skb_tx_timestamp(skb);
}

/* @ports: the hash is over ports, too */
void vnm_helper_skb_set_rx_hash(struct sk_buff *skb, u32 hash, bool ports)
{
	skb_set_hash(skb, hash, ports ? PKT_HASH_TYPE_L4 : PKT_HASH_TYPE_L3);
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

void vnm_helper_skb_queue_head_init(struct sk_buff_head *head)
{
	skb_queue_head_init(head);
}

u32 vnm_helper_skb_queue_len_lockless(const struct sk_buff_head *head)
{
	return skb_queue_len_lockless(head);
}

/*
 * Makes @skb, which was sent, a packet that @dev received; NULL if it was dropped.  What others have of it
 * (references, clones) isn't shared any more, and its Ethernet header is in its head.
 */
struct sk_buff *vnm_helper_dev_forward_skb_to(struct net_device *dev, struct sk_buff *skb)
{
	skb = skb_share_check(skb, GFP_ATOMIC);
	if (!skb)
		return NULL;
	if (skb_unclone(skb, GFP_ATOMIC) || !pskb_may_pull(skb, ETH_HLEN)) {
		dev_core_stats_rx_dropped_inc(dev);
		kfree_skb(skb);
		return NULL;
	}
	skb_orphan(skb);
	if (__dev_forward_skb(dev, skb))
		return NULL;
	skb_set_queue_mapping(skb, 0);
	return skb;
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

struct skb_shared_info *vnm_helper_skb_shinfo(struct sk_buff *skb)
{
	return skb_shinfo(skb);
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

void *vnm_helper_page_pool_alloc_page(struct page_pool *pool, gfp_t gfp)
{
	struct page *page = page_pool_alloc_pages(pool, gfp);

	return page ? page_address(page) : NULL;
}

/* In the poll of the pool's NAPI instance */
void vnm_helper_page_pool_put_va(struct page_pool *pool, void *va)
{
	page_pool_put_page(pool, virt_to_head_page(va), -1, true);
}

/* Gives a fragment back to the pool that its page says it came from */
void vnm_helper_page_pool_put_va_own(void *va)
{
	struct page *page = virt_to_head_page(va);

	page_pool_put_page(pp_page_to_nmdesc(page)->pp, page, -1, false);
}

/* --- queues and NAPI --- */

/* Says so where lockdep is built in, unless this task has the lock of @txq */
void vnm_helper_netif_tx_assert_held(const struct netdev_queue *txq)
{
	lockdep_assert_held(&txq->_xmit_lock);
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

void vnm_helper_netdev_tx_reset_queue(struct netdev_queue *txq)
{
	netdev_tx_reset_queue(txq);
}

void vnm_helper_netif_tx_stop_queue(struct netdev_queue *txq)
{
	netif_tx_stop_queue(txq);
}

bool vnm_helper_netif_tx_queue_stopped(const struct netdev_queue *txq)
{
	return netif_tx_queue_stopped(txq);
}

void vnm_helper_netif_tx_lock_bh(struct netdev_queue *txq)
{
	__netif_tx_lock_bh(txq);
}

void vnm_helper_netif_tx_unlock_bh(struct netdev_queue *txq)
{
	__netif_tx_unlock_bh(txq);
}

void vnm_helper___netif_tx_lock(struct netdev_queue *txq)
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

void vnm_helper___netif_tx_unlock(struct netdev_queue *txq)
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

void vnm_helper_netif_napi_del_async(struct napi_struct *napi)
{
	__netif_napi_del_locked(napi);
}

void vnm_helper_netif_napi_set_irq(struct napi_struct *napi, int irq)
{
	netif_napi_set_irq_locked(napi, irq);
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

/* With a lock class that the caller has, where C's macro has one at each place that it is used */
void vnm_helper_INIT_DELAYED_WORK(struct delayed_work *work, work_func_t func,
				  struct lock_class_key *key)
{
	__INIT_WORK_KEY(&work->work, func, 0, key);
	__timer_init(&work->timer, delayed_work_timer_fn, TIMER_IRQSAFE);
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
