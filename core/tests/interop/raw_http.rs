//! An HTTP client that sends exactly the bytes it is told and shows exactly what comes back.

// Real sockets, without the seam that the gateway uses.
#![allow(clippy::disallowed_methods)]

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::process::PATIENCE;

/// Status line and headers of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// Value of the only header `name`, which is written in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} comes twice in {self:?}");
        value
    }
}

/// One connection. Every read fails after [`PATIENCE`].
pub(crate) struct Client {
    socket: TcpStream,
    /// Read and not yet looked at.
    ahead: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("the gateway accepts");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        Self { socket, ahead: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: &str) {
        self.socket.write_all(bytes.as_bytes()).expect("the gateway takes a request");
    }

    /// Reads once; false at the end.
    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        match self.socket.read(&mut bytes) {
            Ok(0) => false,
            // Who closes without having read all that was sent to it resets.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing comes from the gateway: {error}"),
            Ok(read) => {
                self.ahead.extend(&bytes[..read]);
                true
            }
        }
    }

    fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count {
            assert!(self.read_more(), "the answer ends early after {:?}", self.ahead);
        }
        self.ahead.drain(..count).collect()
    }

    /// A line without its end, which is CR, LF.
    fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.read_exactly(1));
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).expect("a line of text")
    }

    pub(crate) fn read_head(&mut self) -> Head {
        let status = self.read_line();
        let mut headers = Vec::new();
        loop {
            let line = self.read_line();
            if line.is_empty() {
                return Head { status, headers };
            }
            let (name, value) = line.split_once(": ").expect("name and value");
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// The body that belongs to `head`, which tells its length.
    pub(crate) fn read_body(&mut self, head: &Head) -> String {
        let length = head.header("content-length").unwrap_or_else(|| panic!("no length: {head:?}"));
        let body = self.read_exactly(length.parse().expect("a length"));
        String::from_utf8(body).expect("a body of text")
    }

    /// The chunks of a body, up to its last, which is empty.
    pub(crate) fn read_chunks(&mut self) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        loop {
            let line = self.read_line();
            let size = usize::from_str_radix(&line, 16).expect("a chunk begins with its size");
            let chunk = self.read_exactly(size);
            assert_eq!(self.read_line(), "", "a chunk of {size} bytes goes on");
            if size == 0 {
                return chunks;
            }
            chunks.push(chunk);
        }
    }

    /// All that comes until the gateway closes.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.ahead)
    }
}
