// SPDX-License-Identifier: GPL-2.0

//! The device as one of the kernel that it runs on: VDUSE (`Documentation/userspace-api/vduse.rst` of the kernel) makes a
//! vDPA device of it, and virtio-vdpa a virtio device of that. The kernel allows network devices no control queue there, so
//! there is one pair.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use vmm_sys_util::eventfd::EventFd;

use crate::mem::Mem;
use crate::net::{Back, Net, Options};
use crate::ring::Call;
use crate::spec::{f, Config, CONFIG_SIZE};
use crate::vhost::Region;

const SET_API_VERSION: libc::c_ulong = 0x4008_8101;
const CREATE_DEV: libc::c_ulong = 0x4150_8102;
const IOTLB_GET_FD: libc::c_ulong = 0xc020_8110;
const DEV_GET_FEATURES: libc::c_ulong = 0x8008_8111;
const DEV_SET_CONFIG: libc::c_ulong = 0x4008_8112;
const DEV_INJECT_CONFIG_IRQ: libc::c_ulong = 0x0000_8113;
const VQ_SETUP: libc::c_ulong = 0x4020_8114;
const VQ_GET_INFO: libc::c_ulong = 0xc030_8115;
const VQ_SETUP_KICKFD: libc::c_ulong = 0x4008_8116;
const VQ_INJECT_IRQ: libc::c_ulong = 0x4004_8117;

const ID_NET: u32 = 1;
const S_DRIVER_OK: u8 = 4;
const QUEUE_SIZE: u16 = 256;
/// Of a request and of a response.
const MESSAGE: usize = 152;

/// `struct vduse_dev_config` with the configuration behind it.
#[repr(C)]
struct DevConfig {
    name: [u8; 256],
    vendor: u32,
    device: u32,
    features: u64,
    vq_num: u32,
    vq_align: u32,
    ngroups: u32,
    nas: u32,
    reserved: [u32; 11],
    config_size: u32,
    config: [u8; CONFIG_SIZE],
}

/// `struct vduse_iotlb_entry`.
#[repr(C)]
#[derive(Default)]
struct Entry {
    offset: u64,
    start: u64,
    last: u64,
    perm: u8,
    pad: [u8; 7],
}

/// `struct vduse_config_data` for all of the configuration.
#[repr(C)]
struct ConfigData {
    offset: u32,
    length: u32,
    buffer: [u8; CONFIG_SIZE],
}

/// `struct vduse_vq_config`.
#[repr(C)]
#[derive(Default)]
struct VqConfig {
    index: u32,
    max_size: u16,
    reserved1: u16,
    group: u32,
    reserved2: [u16; 10],
}

/// `struct vduse_vq_info` of a split ring.
#[repr(C)]
#[derive(Default)]
struct VqInfo {
    index: u32,
    num: u32,
    desc: u64,
    driver: u64,
    device: u64,
    avail_index: u16,
    pad: [u16; 3],
    ready: u8,
    pad2: [u8; 7],
}

/// `struct vduse_vq_eventfd`.
#[repr(C)]
struct VqEventFd {
    index: u32,
    fd: RawFd,
}

/// A request whose argument is a structure.
fn ioctl<T>(file: &File, request: libc::c_ulong, arg: &mut T) -> io::Result<RawFd> {
    let arg: *mut T = arg;
    // SAFETY: each request of this file is made with the structure that it takes, which outlives the call.
    match unsafe { libc::ioctl(file.as_raw_fd(), request, arg) } {
        -1 => Err(io::Error::last_os_error()),
        n => Ok(n),
    }
}

/// What such a device is.
pub fn adapt(o: &mut Options) -> Result<(), String> {
    if o.pairs != 1 {
        return Err("the kernel's VDUSE allows one pair: pairs=1".into());
    }
    // As for QEMU's netdevs, there are data queues only.
    o.netdev = true;
    o.features &= !(f::CTRL_VQ
        | f::CTRL_RX
        | f::CTRL_VLAN
        | f::CTRL_MAC_ADDR
        | f::CTRL_GUEST_OFFLOADS
        | f::GUEST_ANNOUNCE
        | f::MQ
        | f::RSS);
    o.features |= f::VERSION_1 | f::ACCESS_PLATFORM;
    Ok(())
}

/// Interrupts of one queue.
struct Interrupt {
    file: Arc<File>,
    queue: u32,
}

impl Call for Interrupt {
    fn call(&self) {
        let mut queue = self.queue;
        if let Err(e) = ioctl(&self.file, VQ_INJECT_IRQ, &mut queue) {
            eprintln!("vduse: interrupt of queue {queue}: {e}");
        }
    }
}

/// The configuration, which the kernel keeps.
struct Configuration(Arc<File>);

impl Back for Configuration {
    fn config_changed(&mut self, config: &Config) -> io::Result<()> {
        let mut data = ConfigData {
            offset: 0,
            length: CONFIG_SIZE as u32,
            buffer: config.bytes(),
        };
        ioctl(&self.0, DEV_SET_CONFIG, &mut data)?;
        ioctl(&self.0, DEV_INJECT_CONFIG_IRQ, &mut 0u32).map(drop)
    }
}

/// All that the kernel has mapped for the device, by the addresses that rings and buffers have.
fn memory(file: &File) -> Result<Vec<Region>, String> {
    let mut table = Vec::new();
    let mut at = 0;
    loop {
        let mut entry = Entry {
            start: at,
            last: u64::MAX,
            ..Entry::default()
        };
        // An error is the end of the list.
        let Ok(fd) = ioctl(file, IOTLB_GET_FD, &mut entry) else {
            return Ok(table);
        };
        table.push(Region {
            guest: entry.start,
            size: entry.last - entry.start + 1,
            user: entry.start,
            offset: entry.offset,
            // SAFETY: the kernel made this descriptor for us; nobody else has it.
            file: unsafe { File::from_raw_fd(fd) },
        });
        match entry.last.checked_add(1) {
            Some(next) => at = next,
            None => return Ok(table),
        }
    }
}

/// The device's file.
pub struct Vduse {
    file: Arc<File>,
    running: bool,
}

impl AsRawFd for Vduse {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Vduse {
    /// Makes the device, which `vdpa dev add` then gives to a driver.
    pub fn create(name: &str, net: &mut Net) -> io::Result<Self> {
        let open = |name: &str| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NONBLOCK)
                .open(format!("/dev/vduse/{name}"))
                .map_err(|e| io::Error::other(format!("/dev/vduse/{name}: {e}")))
        };
        let control = open("control")?;
        ioctl(&control, SET_API_VERSION, &mut 0u64)?;
        let mut config = DevConfig {
            name: [0; 256],
            vendor: 0,
            device: ID_NET,
            features: net.offer(),
            vq_num: net.vqs.len() as u32,
            vq_align: 4096,
            ngroups: 0,
            nas: 0,
            reserved: [0; 11],
            config_size: CONFIG_SIZE as u32,
            config: net.config_bytes(),
        };
        // A zero stays behind it.
        for (to, from) in config.name.iter_mut().zip(name.bytes()).take(255) {
            *to = from;
        }
        ioctl(&control, CREATE_DEV, &mut config)
            .map_err(|e| io::Error::other(format!("the kernel makes no VDUSE device: {e}")))?;
        let file = Arc::new(open(name)?);
        for index in 0..net.vqs.len() as u32 {
            let mut vq = VqConfig {
                index,
                max_size: QUEUE_SIZE,
                ..VqConfig::default()
            };
            ioctl(&file, VQ_SETUP, &mut vq)?;
            net.with_vq(index as usize, |vq| vq.enabled = true);
        }
        net.back = Some(Box::new(Configuration(file.clone())));
        Ok(Self {
            file,
            running: false,
        })
    }

    /// What is mapped is looked up anew. The kernel says when that changes, but for what comes with the first buffer: the memory
    /// that all buffers are copied to and from.
    fn forget_memory(&self, net: &mut Net) {
        let file = self.file.clone();
        net.mem = Mem::growing(Box::new(move || memory(&file)));
    }

    /// The driver has set DRIVER_OK. The kernel takes no interrupts before it has our answer to that and has gone on.
    fn start(&mut self, net: &mut Net) -> io::Result<()> {
        for _ in 0..1000 {
            if ioctl(&self.file, VQ_INJECT_IRQ, &mut 0u32).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut features = 0u64;
        ioctl(&self.file, DEV_GET_FEATURES, &mut features)?;
        self.forget_memory(net);
        net.set_features(features);
        for queue in 0..net.vqs.len() {
            let mut info = VqInfo {
                index: queue as u32,
                ..VqInfo::default()
            };
            ioctl(&self.file, VQ_GET_INFO, &mut info)?;
            if info.ready == 0 {
                continue;
            }
            let kick = EventFd::new(libc::EFD_NONBLOCK)?;
            let mut fd = VqEventFd {
                index: queue as u32,
                fd: kick.as_raw_fd(),
            };
            ioctl(&self.file, VQ_SETUP_KICKFD, &mut fd)?;
            let call = Interrupt {
                file: self.file.clone(),
                queue: queue as u32,
            };
            net.with_vq(queue, |vq| {
                vq.size = info.num as u16;
                vq.next_avail = info.avail_index;
                vq.set_call(Some(Box::new(call)));
            });
            net.set_ring(queue, info.desc, info.driver, info.device);
            net.set_kick(queue, Some(kick));
        }
        Ok(())
    }

    /// Answers one request of the kernel.
    pub fn serve(&mut self, net: &mut Net) -> io::Result<()> {
        let mut request = [0; MESSAGE];
        match (&*self.file).read(&mut request) {
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
        let word = |i: usize| u32::from_le_bytes(request[i..i + 4].try_into().unwrap_or_default());
        let mut response = [0; MESSAGE];
        response[..4].copy_from_slice(&request[4..8]);
        let mut start = false;
        match word(0) {
            // GET_VQ_STATE: the ring's number, and where it is.
            0 => {
                let queue = word(24) as usize;
                let base = net.vqs.get(queue).map_or(0, |vq| vq.next_avail);
                response[24..28].copy_from_slice(&request[24..28]);
                response[28..30].copy_from_slice(&base.to_le_bytes());
            }
            // SET_STATUS
            1 if request[24] & S_DRIVER_OK == 0 => {
                self.running = false;
                if request[24] == 0 {
                    for queue in 0..net.vqs.len() {
                        net.stop_vq(queue);
                    }
                }
            }
            1 => start = !std::mem::replace(&mut self.running, true),
            // UPDATE_IOTLB
            2 => self.forget_memory(net),
            // A result other than zero is a failure.
            _ => response[4] = 1,
        }
        (&*self.file).write_all(&response)?;
        if start {
            self.start(net)?;
        }
        Ok(())
    }
}
