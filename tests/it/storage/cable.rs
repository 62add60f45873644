//! A network of its own for a program: a loopback interface and nothing else. Connections to the given ports of it are
//! carried to the same ports of this machine by the test, which can cut them off as a pulled cable does: nothing is
//! closed, nothing arrives.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustix::thread::UnshareFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// More than a machine of a test has.
const MAX_PORTS: usize = 8;

pub struct Cable {
    plugged: watch::Sender<bool>,
    _relays: JoinSet<()>,
}

impl Cable {
    /// Starts the command in a network of its own, which reaches these ports of this machine's loopback interface.
    pub fn spawn(command: &mut Command, ports: &[u16]) -> (std::process::Child, Self) {
        assert!(ports.len() <= MAX_PORTS);
        let (here, there) = UnixStream::pair().unwrap();
        let inside = ports.to_vec();
        // SAFETY: the closure makes system calls, and small allocations, which glibc allows after a fork.
        unsafe {
            command.pre_exec(move || {
                enter_own_network()?;
                let listeners: Vec<TcpListener> = inside
                    .iter()
                    .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)))
                    .collect::<io::Result<_>>()?;
                send(&there, &listeners)
            });
        }
        let child = command.spawn().unwrap();
        let (plugged, state) = watch::channel(true);
        let mut relays = JoinSet::new();
        for (listener, port) in receive(&here, ports.len()).into_iter().zip(ports) {
            relays.spawn(relay(listener, *port, state.clone()));
        }
        (child, Self { plugged, _relays: relays })
    }

    pub fn unplug(&self) {
        self.plugged.send_replace(false);
    }

    pub fn plug_in(&self) {
        self.plugged.send_replace(true);
    }
}

/// Leaves the network of this process. Without the rights of root, for a user namespace in which it has them.
fn enter_own_network() -> io::Result<()> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    let mut flags = UnshareFlags::NEWNET;
    if !user.is_root() {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: no file descriptors are unshared.
    unsafe { rustix::thread::unshare_unsafe(flags)? };
    if !user.is_root() {
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw()))?;
        std::fs::write("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw()))?;
    }
    start_loopback()
}

/// A new network has a loopback interface that is down.
fn start_loopback() -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // SAFETY: all zeros are an `ifreq`: an empty name, and flags of none.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is what SIOCSIFFLAGS reads, and lives until the call returns.
    match unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn send(to: &UnixStream, listeners: &[TcpListener]) -> io::Result<()> {
    let descriptors: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_PORTS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(to, &[IoSlice::new(b".")], &mut ancillary, SendFlags::empty())?;
    Ok(())
}

fn receive(from: &UnixStream, count: usize) -> Vec<Listener> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_PORTS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(from, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::empty()).unwrap();
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(descriptors.len(), count);
    let listener = |descriptor| {
        let listener = TcpListener::from(descriptor);
        listener.set_nonblocking(true).unwrap();
        Listener::from_std(listener).unwrap()
    };
    descriptors.into_iter().map(listener).collect()
}

/// Carries every connection to the port outside.
async fn relay(listener: Listener, port: u16, plugged: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let (inside, _) = listener.accept().await.unwrap();
        let mut plugged = plugged.clone();
        connections.spawn(async move {
            drop(plugged.wait_for(|is_plugged| *is_plugged).await);
            let Ok(outside) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
            let ((from_inside, to_inside), (from_outside, to_outside)) =
                (inside.into_split(), outside.into_split());
            tokio::join!(
                carry(from_inside, to_outside, plugged.clone()),
                carry(from_outside, to_inside, plugged)
            );
        });
    }
}

/// Carries bytes one way, until one side closes. What is on its way when the cable is unplugged arrives afterwards, as TCP
/// sends again what was lost.
async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut plugged: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes @ 1..) = from.read(&mut buffer).await {
        if plugged.wait_for(|is_plugged| *is_plugged).await.is_err()
            || to.write_all(&buffer[..bytes]).await.is_err()
        {
            return;
        }
    }
    let _closed_already = to.shutdown().await;
}
