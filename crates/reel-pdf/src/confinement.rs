//! Takes from a process whatever it does not need to turn bytes of its standard input into bytes of its standard output.
//!
//! A filter of system calls (seccomp) lists what is left: the kernel refuses any other call. Limits of the kernel bound what it
//! lists: processor time, address space, bytes written to files, open files.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Seconds of processor time.
pub const MAX_CPU_SECONDS: u64 = 5;
/// Memory in addition to what the process has when it is confined.
pub const MAX_MEMORY_BYTES: u64 = 768 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the limits of the process cannot be set")]
    Limits(#[source] io::Error),
    #[error("this kernel or processor has no filter of system calls")]
    Filter(#[from] seccompiler::Error),
    #[error("this processor is not supported by the filter of system calls")]
    Processor(#[from] seccompiler::BackendError),
}

/// Confines this process for the rest of its life. It must have one thread.
pub fn confine() -> Result<(), Error> {
    close_inherited_files()?;
    set_limits()?;
    rustix::thread::set_no_new_privs(true).map_err(|error| Error::Limits(error.into()))?;
    seccompiler::apply_filter(&filter()?)?;
    Ok(())
}

/// Closes all files but the three standard ones.
fn close_inherited_files() -> Result<(), Error> {
    // SAFETY: nothing in this process owns a file yet: it has just begun and has one thread.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if closed == 0 { Ok(()) } else { Err(Error::Limits(io::Error::last_os_error())) }
}

fn set_limits() -> Result<(), Error> {
    let memory = address_space_bytes()?.saturating_add(MAX_MEMORY_BYTES);
    let limits = [
        (Resource::Cpu, MAX_CPU_SECONDS),
        (Resource::As, memory),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nproc, 0),
        // The three standard ones are open already.
        (Resource::Nofile, 3),
    ];
    for (resource, limit) in limits {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        setrlimit(resource, limit).map_err(|error| Error::Limits(error.into()))?;
    }
    Ok(())
}

/// Returns the size of the address space now, a part of which may be reserved by the allocator.
fn address_space_bytes() -> Result<u64, Error> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(Error::Limits)?;
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")?.trim().strip_suffix(" kB"));
    let kib = size.and_then(|size| size.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| Error::Limits(io::ErrorKind::InvalidData.into()))? * 1024)
}

/// The calls of a program with one thread that computes, allocates, reads and writes what is open, and ends.
fn filter() -> Result<BpfProgram, Error> {
    let allowed = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let rules = allowed.into_iter().map(|call| (call, vec![])).collect();
    // Refused, not killed: allocators and the C library try calls that they can do without, each version others.
    let (others, listed) = (SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow);
    let processor = std::env::consts::ARCH.try_into()?;
    Ok(SeccompFilter::new(rules, others, listed, processor)?.try_into()?)
}
