//! Returns freed memory to the system, so that a long video takes no more memory than a short one.

/// Threshold from which the C library, which FFmpeg allocates with, maps each block separately and unmaps it when it is
/// freed. By default the threshold grows with the blocks, and each thread's arena keeps freed pictures.
#[cfg(target_env = "gnu")]
const OWN_MAPPING_BYTES: libc::c_int = 64 << 10;

/// mimalloc's `mi_option_purge_delay`, in ms; see its `mimalloc.h`.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Configures both allocators. Must be called before the first picture; another call changes nothing.
pub(crate) fn return_freed_memory() {
    // SAFETY: both calls set a number that the allocator reads under its own lock.
    unsafe {
        #[cfg(target_env = "gnu")]
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // The built-in default, which no other option of mimalloc has.
        // SAFETY: reads a number.
        let get = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1000);
        return_freed_memory();
        assert_eq!(get(), 0);
    }
}
