//! What a scene took goes back to the system when it is done: a long video takes no more memory than a short one.

/// Of the C library, with which FFmpeg and its encoders allocate: blocks from this size on are its own mappings, and go back
/// when they are freed. By default the limit grows with the blocks, and each thread keeps pictures that were.
#[cfg(target_env = "gnu")]
const OWN_MAPPING_BYTES: libc::c_int = 64 << 10;

/// mimalloc's `mi_option_purge_delay`, in ms; see its `mimalloc.h`.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
/// mimalloc's `mi_option_page_full_retain`: empty pages that each thread keeps, of up to 4 MiB each.
const RETAINED_PAGES: libmimalloc_sys::mi_option_t = 36;

/// To be called before the first picture. Calling again changes nothing.
pub(crate) fn return_what_is_freed() {
    // SAFETY: both set a number that allocators look at under their own locks.
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
        // As built in: no other options of mimalloc's have these defaults, but one that is not built in.
        // SAFETY: reads a number.
        let get = |option| unsafe { libmimalloc_sys::mi_option_get(option) };
        assert_eq!((get(PURGE_DELAY), get(RETAINED_PAGES)), (1000, 2));
        return_what_is_freed();
        assert_eq!((get(PURGE_DELAY), get(RETAINED_PAGES)), (0, 0));
    }
}
