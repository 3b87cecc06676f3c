//! Requests of HTTP/1, and what may be wrong with them: lines, escapes, lengths, and where one request ends.

use rehearsal_sim::Rng;

use super::mutate::{self, noise, pick};

/// One to four requests on one connection, mostly with mistakes.
pub(super) fn input(rng: &mut Rng, name: &str) -> Vec<u8> {
    let mut requests: Vec<Vec<u8>> = (0..rng.range(1..=4)).map(|_| request(rng, name)).collect();
    for _ in 0..rng.below(3) {
        match rng.below(4) {
            0 => mutate::order(rng, &mut requests),
            1 => {
                let count = 1 + rng.below(60) as usize;
                requests.push(noise(rng, count));
            }
            _ => {
                let at = rng.below(requests.len() as u64) as usize;
                mutate::bytes(rng, &mut requests[at]);
            }
        }
        if requests.is_empty() {
            break;
        }
    }
    requests.concat()
}

const METHODS: [&str; 8] = ["GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "get", "PRI"];

/// Paths of streams: there, not there, and none.
fn path(rng: &mut Rng, name: &str) -> String {
    match rng.below(12) {
        0..=2 => format!("/live/{name}.flv"),
        3 => "/live/cam.flv".to_owned(),
        4 => "/".to_owned(),
        5 => "*".to_owned(),
        6 => format!("http://x/live/{name}.flv?a=b#c"),
        // Escapes that are none, cut off, or of what no name may have.
        7 => {
            let escapes = ["%", "%4", "%zz", "%00", "%ff", "%0d%0a", "%2e%2e%2f", "%c3%28", "%25"];
            format!("/live/{}{name}.flv", pick(rng, &escapes))
        }
        8 => format!("/live/{}.flv", "n".repeat(*pick(rng, &[255, 256, 511, 9_000, 20_000]))),
        9 => format!("/live/../{name}.flv"),
        10 => format!("//{name}//.flv"),
        _ => format!("/live/{name}.flv/"),
    }
}

/// Lines of a head that are wrong, or that leave open where the request ends.
const LINES: [&str; 22] = [
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked, identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Content-Length: 5\r\n",
    "Expect: 100-continue\r\nContent-Length: 5\r\n",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
    "X: a\r\n folded\r\n",
    "X: bare\n",
    ": nameless\r\n",
    "X\0: y\r\n",
    "Host: y\r\n",
    "Connection: close\r\n",
];

/// Bodies, of which some look like requests.
const BODIES: [&str; 7] = [
    "",
    "hello",
    "5\r\nhello\r\n0\r\n\r\n",
    "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    "fffffffffffffffff\r\nhello",
    "5;x=\"\r\n\"\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
    "zz\r\n",
];

fn request(rng: &mut Rng, name: &str) -> Vec<u8> {
    let (method, path) = (*pick::<&str>(rng, &METHODS), path(rng, name));
    let version =
        *pick(rng, &["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.10", ""]);
    let host = *pick(rng, &["Host: x\r\n", "Host: x\r\n", "Host: x\r\n", "Host:\r\n", ""]);
    let mut head = format!("{method} {path} {version}\r\n{host}");
    for _ in 0..rng.below(3) {
        match rng.below(8) {
            0 => {
                let length = *pick(rng, &[8_000, 16_000, 17_000, 30_000]);
                head.push_str(&format!("X: {}\r\n", "y".repeat(length)));
            }
            1 => head.push_str(&"X: y\r\n".repeat(*pick(rng, &[50, 99, 101, 3_000]))),
            _ => head.push_str(pick::<&str>(rng, &LINES)),
        }
    }
    head.push_str("\r\n");
    if rng.below(3) == 0 {
        head.push_str(pick::<&str>(rng, &BODIES));
    }
    head.into_bytes()
}
