//! ClamAV's daemon, asked by its own protocol (clamd(8), `INSTREAM`): the file goes over the connection in pieces, each
//! behind its length, and one line comes back.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::Refusal;

const PIECE_BYTES: usize = 64 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole file, which the daemon may unpack.
const SCAN_TIMEOUT: Duration = Duration::from_secs(120);
/// An answer is one line with the name of what was found.
const MAX_ANSWER_BYTES: u64 = 4096;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to clamd at {address}")]
    Connect { address: Address, source: io::Error },
    #[error("clamd at {address} does not answer within {} s", SCAN_TIMEOUT.as_secs())]
    Silent { address: Address },
    #[error("the connection to clamd at {address} broke")]
    Broken { address: Address, source: io::Error },
    #[error("clamd at {address} answered `{answer}`, expected `stream: OK` or `stream: ... FOUND`")]
    Answer { address: Address, answer: String },
}

/// The address on which the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Host and port.
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    /// `host:port`, `tcp://host:port`, or the path of a socket, with or without `unix:` before it.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:").or(text.starts_with('/').then_some(text)) {
            return Some(Self::Unix(path.into()));
        }
        let host_and_port = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = host_and_port.rsplit_once(':')?;
        let is_fit = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
        is_fit.then(|| Self::Tcp(host_and_port.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => f.write_str(address),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

/// A scanner. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clamav {
    address: Address,
}

impl Clamav {
    pub fn new(address: Address) -> Self {
        Self { address }
    }

    /// Has a file scanned from where it is read next. Anything but a clean answer refuses it.
    pub async fn scan(&self, file: File) -> Result<(), Refusal> {
        let answer = match timeout(SCAN_TIMEOUT, self.ask(file)).await {
            Ok(answer) => answer.map_err(Refusal::Unscanned)?,
            Err(_) => return Err(Refusal::Unscanned(Error::Silent { address: self.address.clone() })),
        };
        let answer = answer.trim_end_matches(['\0', '\n']);
        if answer == "stream: OK" {
            return Ok(());
        }
        if let Some(found) = answer.strip_prefix("stream: ").and_then(|rest| rest.strip_suffix(" FOUND")) {
            let name: String = found.chars().filter(|c| !c.is_control()).take(100).collect();
            return Err(Refusal::Malicious { what: format!("malicious content ({name})") });
        }
        let answer = answer.chars().take(200).collect();
        Err(Refusal::Unscanned(Error::Answer { address: self.address.clone(), answer }))
    }

    async fn ask(&self, file: File) -> Result<String, Error> {
        let address = || self.address.clone();
        let connected = async {
            match &self.address {
                Address::Tcp(address) => TcpStream::connect(address).await.map(Connection::Tcp),
                Address::Unix(path) => UnixStream::connect(path).await.map(Connection::Unix),
            }
        };
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let connected = timeout(CONNECT_TIMEOUT, connected).await.unwrap_or_else(|_| Err(late()));
        let connected = connected.map_err(|source| Error::Connect { address: address(), source })?;
        let answered = match connected {
            Connection::Tcp(stream) => converse(stream, file).await,
            Connection::Unix(stream) => converse(stream, file).await,
        };
        answered.map_err(|source| Error::Broken { address: address(), source })
    }
}

enum Connection {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, mut file: File) -> io::Result<String> {
    let (reader, mut writer) = tokio::io::split(stream);
    let sent = async {
        writer.write_all(b"zINSTREAM\0").await?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = file.read(&mut piece).await?;
            writer.write_all(&(length as u32).to_be_bytes()).await?;
            writer.write_all(&piece[..length]).await?;
            if length == 0 {
                return writer.flush().await;
            }
        }
    };
    let read = async {
        let mut answer = vec![];
        reader.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    // The daemon may answer, and close, before it has read all.
    let (sent, answer) = tokio::join!(sent, read);
    match (answer, sent) {
        (Ok(answer), _) if !answer.is_empty() => Ok(String::from_utf8_lossy(&answer).into_owned()),
        (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        (Ok(_), Ok(())) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_hosts_or_sockets() {
        let tcp = |text: &str| Some(Address::Tcp(text.to_owned()));
        assert_eq!(Address::parse("127.0.0.1:3310"), tcp("127.0.0.1:3310"));
        assert_eq!(Address::parse("tcp://clamd:3310"), tcp("clamd:3310"));
        let socket = Some(Address::Unix("/run/clamd.ctl".into()));
        assert_eq!(Address::parse("/run/clamd.ctl"), socket);
        assert_eq!(Address::parse("unix:/run/clamd.ctl"), socket);
        for text in ["", "clamd", ":3310", "clamd:", "clamd:0", "clamd:99999"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
