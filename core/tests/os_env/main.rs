//! The operating system behind the seam keeps what [`Env`] promises, and the gateway on it what it promises to user agents.

// Files are made and looked at without the seam, which is what is tested.
#![allow(clippy::disallowed_methods)]

mod user_agents;

use std::{
    fs,
    future::pending,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rehearsal_core::env::{Env, File, Os, TcpListener, UdpSocket, read_file};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::oneshot,
    time::timeout,
};

/// What takes longer has hung.
const PATIENCE: Duration = Duration::from_secs(20);

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it ends in time")
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A file of one test, gone with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("os-env-{}-{name}", std::process::id()));
        fs::write(&path, content).expect("the target folder can be written");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_closed_writing_half_leaves_the_reading_half_open() {
    let mut listener = Os.bind_tcp(any_port()).await.unwrap();
    let address = listener.local_addr();
    assert_ne!(address.port(), 0, "the port that was taken is told");
    let (client, accepted) =
        in_time(async { tokio::join!(Os.connect_tcp(address), listener.accept()) }).await;
    let (mut client, (mut server, peer)) = (client.unwrap(), accepted.unwrap());
    assert_eq!(peer, client.local_addr().unwrap());

    in_time(async {
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
    })
    .await;
}

#[tokio::test]
async fn streams_write_vectored_and_without_delay() {
    let mut listener = Os.bind_tcp(any_port()).await.unwrap();
    let address = listener.local_addr();
    let (client, accepted) =
        in_time(async { tokio::join!(Os.connect_tcp(address), listener.accept()) }).await;
    for stream in [client.unwrap(), accepted.unwrap().0] {
        assert!(stream.is_write_vectored());
        assert!(stream.nodelay().unwrap());
    }
}

#[tokio::test]
async fn a_dropped_listener_refuses_and_frees_its_port() {
    let listener = Os.bind_tcp(any_port()).await.unwrap();
    let address = listener.local_addr();
    let taken = Os.bind_tcp(address).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    drop(listener);
    let refused = in_time(Os.connect_tcp(address)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_port_can_be_taken_again_while_its_connections_linger() {
    let mut listener = Os.bind_tcp(any_port()).await.unwrap();
    let address = listener.local_addr();
    let (client, accepted) =
        in_time(async { tokio::join!(Os.connect_tcp(address), listener.accept()) }).await;
    // The side that closes first is the one whose address lingers.
    drop(accepted.unwrap());
    in_time(client.unwrap().read_to_end(&mut Vec::new())).await.unwrap();
    drop(listener);
    assert_eq!(Os.bind_tcp(address).await.unwrap().local_addr(), address);
}

#[tokio::test]
async fn datagrams_go_round_and_what_does_not_fit_is_lost() {
    let here = Os.bind_udp(any_port()).await.unwrap();
    let there = Os.bind_udp(any_port()).await.unwrap();
    in_time(async {
        let mut buf = [0; 8];
        assert_eq!(here.send_to(b"ping", there.local_addr()).await.unwrap(), 4);
        let (length, source) = there.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..length], source), (&b"ping"[..], here.local_addr()));

        there.send_to(b"longer than the buffer", source).await.unwrap();
        there.send_to(b"next", source).await.unwrap();
        let (length, _) = here.recv_from(&mut buf).await.unwrap();
        assert_eq!(&buf[..length], b"longer t");
        let (length, source) = here.recv_from(&mut buf).await.unwrap();
        assert_eq!((&buf[..length], source), (&b"next"[..], there.local_addr()));
    })
    .await;
}

#[tokio::test]
async fn a_datagram_that_is_too_large_is_an_error() {
    let socket = Os.bind_udp(any_port()).await.unwrap();
    let target = socket.local_addr();
    assert_eq!(socket.send_to(&[0; 65_507], target).await.unwrap(), 65_507);
    assert!(socket.send_to(&[0; 65_508], target).await.is_err());
}

/// Sends back what comes, until it is told "end".
async fn echo(socket: impl UdpSocket) {
    let mut buf = [0; 64];
    loop {
        let (length, source) = socket.recv_from(&mut buf).await.unwrap();
        if &buf[..length] == b"end" {
            return;
        }
        socket.send_to(&buf[..length], source).await.unwrap();
    }
}

#[tokio::test]
async fn paced_tasks_get_all_that_comes_and_leave_their_sockets_free() {
    let mut echoes = Vec::new();
    for _ in 0..20 {
        let socket = Os.bind_udp(any_port()).await.unwrap();
        let address = socket.local_addr();
        let (over, is_over) = tokio::sync::oneshot::channel();
        // What came before anybody waited is there as well.
        let own = Os.bind_udp(any_port()).await.unwrap();
        own.send_to(b"early", address).await.unwrap();
        let task = Os.spawn_paced(async move {
            echo(socket).await;
            over.send(()).unwrap();
        });
        echoes.push((own, address, task, is_over));
    }
    in_time(async {
        let mut buf = [0; 64];
        for (own, address, ..) in &echoes {
            // Several in one beat.
            for word in [b"one", b"two", b"six"] {
                own.send_to(word, *address).await.unwrap();
            }
            for expected in [&b"early"[..], b"one", b"two", b"six"] {
                let (length, source) = own.recv_from(&mut buf).await.unwrap();
                assert_eq!((&buf[..length], source), (expected, *address));
            }
        }
        for (number, (own, address, task, is_over)) in echoes.into_iter().enumerate() {
            // By itself, or by its handle.
            if number % 2 == 0 {
                own.send_to(b"end", address).await.unwrap();
                is_over.await.unwrap();
            } else {
                drop(task);
                assert!(is_over.await.is_err(), "it goes on without its handle");
            }
            Os.bind_udp(address).await.expect("the port is free again");
        }
    })
    .await;
}

#[tokio::test]
async fn files_are_read_at_any_place() {
    let scratch = Scratch::new("places", b"0123456789");
    let file = Os.open(&scratch.0).await.unwrap();
    assert_eq!(file.len_bytes(), 10);
    let mut buf = [0; 4];
    for (offset, expected) in [(3, "3456"), (0, "0123"), (8, "89"), (10, ""), (1 << 40, "")] {
        let read = file.read_at(offset, &mut buf).await.unwrap();
        assert_eq!(&buf[..read], expected.as_bytes(), "at {offset}");
    }
}

#[tokio::test]
async fn what_is_no_file_is_not_opened() {
    let kind = |result: io::Result<_>| result.err().map(|error: io::Error| error.kind());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    assert_eq!(kind(Os.open(folder).await.map(drop)), Some(ErrorKind::IsADirectory));
    let nothing = folder.join("there-is-no-such-file");
    assert_eq!(kind(Os.open(&nothing).await.map(drop)), Some(ErrorKind::NotFound));
}

#[tokio::test]
async fn what_is_no_file_is_not_written() {
    let kept = Scratch::new("kept", b"kept");
    let link = Scratch(kept.0.with_extension("link"));
    symlink(&kept.0, &link.0).unwrap();
    let new = kept.0.with_extension("new");
    let dangling = Scratch(kept.0.with_extension("dangling"));
    symlink(&new, &dangling.0).unwrap();

    for path in [&link.0, Path::new("/dev/null")] {
        let refused = Os.create(path).await.unwrap_err();
        assert_eq!(refused.to_string(), "not a regular file", "{}", path.display());
    }
    assert_eq!(fs::read(&kept.0).unwrap(), b"kept");
    assert_eq!(Os.create(&dangling.0).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!new.exists());
}

#[tokio::test]
async fn a_link_can_be_replaced_and_what_it_leads_to_stays() {
    let kept = Scratch::new("target", b"kept");
    let link = Scratch(kept.0.with_extension("link"));
    symlink(&kept.0, &link.0).unwrap();
    let other = Scratch::new("other", b"other");
    Os.rename(&other.0, &link.0).await.unwrap();
    assert_eq!(
        (fs::read(&kept.0).unwrap(), fs::read(&link.0).unwrap()),
        (b"kept".into(), b"other".into())
    );
}

#[tokio::test]
async fn whole_files_are_read_up_to_a_limit() {
    let content = [7; 5_000];
    let scratch = Scratch::new("whole", &content);
    assert_eq!(read_file(&Os, &scratch.0, 5_000).await.unwrap(), content);
    let refused = read_file(&Os, &scratch.0, 4_999).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::FileTooLarge);
    assert_eq!(refused.to_string(), "5000 bytes, the limit is 4999");
    let empty = Scratch::new("empty", b"");
    assert_eq!(read_file(&Os, &empty.0, 0).await.unwrap(), b"");
}

#[tokio::test]
async fn a_task_ends_when_its_handle_is_dropped() {
    let (started, has_started) = oneshot::channel();
    let (held, gone) = oneshot::channel::<()>();
    let task = Os.spawn(async move {
        let _held = held;
        started.send(()).expect("the test waits");
        pending::<()>().await;
    });
    in_time(has_started).await.unwrap();
    drop(task);
    in_time(gone).await.expect_err("the sender went with the task");
}

#[tokio::test]
async fn a_task_that_is_kept_runs_to_its_end() {
    let (done, is_done) = oneshot::channel();
    let task = Os.spawn(async move { done.send(5).expect("the test waits") });
    assert_eq!(in_time(is_done).await, Ok(5));
    drop(task);
}

#[test]
fn entropy_differs_and_fills_the_buffer() {
    let [mut one, mut other] = [[0; 64]; 2];
    Os.fill_random(&mut one);
    Os.fill_random(&mut other);
    assert_ne!(one, other);
    // All zeros by chance: once in 2^256.
    assert!(one[..32] != [0; 32] && one[32..] != [0; 32]);
}

#[test]
fn wall_clock_is_the_systems() {
    let before = SystemTime::now();
    let told = Os.wall_clock();
    assert!(before <= told && told <= SystemTime::now());
}

#[tokio::test]
async fn datagrams_that_nobody_takes_in_time_are_dropped_and_counted() {
    let (from, to) =
        (Os.bind_udp(any_port()).await.unwrap(), Os.bind_udp(any_port()).await.unwrap());
    assert_eq!(to.dropped().await, 0);
    // More than any system holds for a socket that asks for nothing.
    for _ in 0..5_000 {
        from.send_to(&[0; 8_192], to.local_addr()).await.unwrap();
    }
    assert!((1..5_000).contains(&to.dropped().await), "some were held, and some dropped");
    assert_eq!(from.dropped().await, 0);
}
