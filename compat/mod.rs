// SPDX-License-Identifier: GPL-2.0

//! What kernel 7.3 changes, one file each: porting means to edit these files only.

pub(crate) mod device_id;
pub(crate) mod errno;
