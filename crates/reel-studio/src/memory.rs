//! Returns freed memory to the system, so that a long video takes no more memory than a short one.

/// Threshold from which the C library, which FFmpeg allocates with, maps each block separately and unmaps it when it is
/// freed. By default the threshold grows with the blocks, and each thread's arena keeps freed pictures.
#[cfg(target_env = "gnu")]
const OWN_MAPPING_BYTES: libc::c_int = 64 << 10;

/// mimalloc's `mi_option_purge_delay`, in ms; see its `mimalloc.h`.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// mimalloc's `mi_option_page_full_retain`: empty pages that each thread keeps, of up to 4 MiB each.
const RETAINED_PAGES: libmimalloc_sys::mi_option_t = 36;

/// Configures both allocators. Must be called before the first picture; another call changes nothing.
pub(crate) fn return_freed_memory() {
    // SAFETY: both calls set a number that the allocator reads under its own lock.
    unsafe {
        #[cfg(target_env = "gnu")]
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
        libmimalloc_sys::mi_option_set(RETAINED_PAGES, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_the_ones_that_are_meant() {
        // The built-in defaults. No other option of mimalloc has the first, and few have the second.
        // SAFETY: reads a number.
        let get = |option| unsafe { libmimalloc_sys::mi_option_get(option) };
        assert_eq!((get(PURGE_DELAY), get(RETAINED_PAGES)), (1000, 2));
        return_freed_memory();
        assert_eq!((get(PURGE_DELAY), get(RETAINED_PAGES)), (0, 0));
    }
}
