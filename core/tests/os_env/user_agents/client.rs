//! A client of the application `sip`: RTMP over a socket, commands and callbacks.

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::{
    amf::{Object, Value},
    rtmp::{
        chunk::ChunkLimits,
        command::{Command, Encoding},
        handshake::{ClientForm, ClientHandshake},
        link::{Incoming, Link},
        message::{Message, chunk_stream, type_id},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::in_time;

const LIMITS: ChunkLimits =
    ChunkLimits { message_bytes: 1 << 20, chunk_bytes: 1 << 20, chunk_streams: 16 };

/// A client, connected or about to be.
pub(crate) struct Client {
    socket: TcpStream,
    link: Link,
    transaction: f64,
    commands: Vec<Command>,
    heard: Vec<Message>,
}

impl Client {
    /// Asks to be `app`; the answer may come later.
    pub(crate) async fn ask(gateway: std::net::SocketAddr, app: &str, arguments: &[&str]) -> Self {
        let mut socket = TcpStream::connect(gateway).await.unwrap();
        let mut entropy = |buf: &mut [u8]| buf.fill(7);
        let mut output = Vec::new();
        let mut handshake = ClientHandshake::start(ClientForm::Simple, &mut entropy, &mut output);
        while !handshake.is_done() {
            socket.write_all(&std::mem::take(&mut output)).await.unwrap();
            let mut input = [0; 4096];
            let length = in_time(socket.read(&mut input)).await.unwrap();
            handshake.handle_input(&mut &input[..length], &mut entropy, &mut output).unwrap();
        }
        socket.write_all(&output).await.unwrap();
        let link = Link::new(LIMITS, Duration::ZERO);
        let mut client =
            Self { socket, link, transaction: 0.0, commands: Vec::new(), heard: Vec::new() };
        let object = Object::new().with("app", app);
        let texts = arguments.iter().map(|&text| Value::from(text));
        client.send(0, "connect", std::iter::once(object.into()).chain(texts).collect()).await;
        client
    }

    /// A client that was accepted.
    pub(crate) async fn connect(
        gateway: std::net::SocketAddr,
        app: &str,
        arguments: &[&str],
    ) -> Self {
        let mut client = Self::ask(gateway, app, arguments).await;
        assert_eq!(client.answer_to_connect().await, "NetConnection.Connect.Success");
        client
    }

    /// The code of the answer to connect, or the words of a rejection.
    pub(crate) async fn answer_to_connect(&mut self) -> String {
        let answer = self.result(1.0).await;
        let status = answer.argument(0).unwrap().as_object().unwrap();
        let key = if answer.name == "_result" { "code" } else { "description" };
        status.get_str(key).unwrap().to_owned()
    }

    async fn send(&mut self, stream_id: u32, name: &str, values: Vec<Value>) -> f64 {
        let transaction = self.write(stream_id, name, values);
        self.flush().await;
        transaction
    }

    /// Has a command go out with the next flush.
    fn write(&mut self, stream_id: u32, name: &str, values: Vec<Value>) -> f64 {
        self.transaction += 1.0;
        let command = Command { name: name.to_owned(), transaction: self.transaction, values };
        self.link.send_command(stream_id, &command, Encoding::Amf0);
        self.transaction
    }

    async fn flush(&mut self) {
        let output = self.link.poll_output();
        self.socket.write_all(&output).await.unwrap();
    }

    /// Gives a command, which must be carried out.
    pub(crate) async fn order(&mut self, name: &str, arguments: Vec<Value>) {
        let answer = self.try_order(name, arguments).await;
        assert_eq!(answer, Ok(()), "{name}");
    }

    /// Gives two commands before either is answered; both must be carried out.
    pub(crate) async fn order_both(
        &mut self,
        first: (&str, Vec<Value>),
        second: (&str, Vec<Value>),
    ) {
        let transactions = [first, second].map(|(name, arguments)| {
            self.write(0, name, std::iter::once(Value::Null).chain(arguments).collect())
        });
        self.flush().await;
        for transaction in transactions {
            assert_eq!(self.result(transaction).await.name, "_result");
        }
    }

    /// Gives a command; an error has the gateway's words.
    pub(crate) async fn try_order(
        &mut self,
        name: &str,
        arguments: Vec<Value>,
    ) -> Result<(), String> {
        let values = std::iter::once(Value::Null).chain(arguments).collect();
        let transaction = self.send(0, name, values).await;
        let answer = self.result(transaction).await;
        if answer.name == "_result" {
            return Ok(());
        }
        let status = answer.argument(0).unwrap().as_object().unwrap();
        Err(status.get_str("description").unwrap().to_owned())
    }

    /// Publishes or plays on a message stream of its own.
    pub(crate) async fn stream(&mut self, what: &str, name: &str) -> u32 {
        let transaction = self.send(0, "createStream", vec![Value::Null]).await;
        let stream_id = self.result(transaction).await.number(0).unwrap() as u32;
        self.send(stream_id, what, vec![Value::Null, name.into()]).await;
        let code =
            if what == "publish" { "NetStream.Publish.Start" } else { "NetStream.Play.Start" };
        self.status(code).await;
        stream_id
    }

    /// Waits for a status.
    pub(crate) async fn status(&mut self, code: &str) {
        self.wait(|command| {
            let status = command.argument(0).and_then(Value::as_object);
            command.name == "onStatus"
                && status.is_some_and(|own| own.get_str("code") == Some(code))
        })
        .await;
    }

    /// Waits to be called back, and gives what with. Nothing else may come first.
    pub(crate) async fn called_back(&mut self, name: &str) -> Vec<Value> {
        let quiet = ["_result", "_error", "onStatus", "onBWDone"];
        let command = self.wait(|command| !quiet.contains(&command.name.as_str())).await;
        assert_eq!(command.name, name, "{command:?}");
        command.values[1..].to_vec()
    }

    async fn result(&mut self, transaction: f64) -> Command {
        self.wait(|command| command.name.starts_with('_') && command.transaction == transaction)
            .await
    }

    async fn wait(&mut self, is_wanted: impl Fn(&Command) -> bool) -> Command {
        loop {
            if let Some(index) = self.commands.iter().position(&is_wanted) {
                return self.commands.remove(index);
            }
            assert!(self.read().await, "the connection ends; {:?} came", self.commands);
        }
    }

    /// Reads once; false at the end.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let length = in_time(self.socket.read(&mut bytes)).await.unwrap_or(0);
        let mut input = &bytes[..length];
        while let Some(incoming) = self.link.handle_input(Duration::ZERO, &mut input).unwrap() {
            match incoming {
                Incoming::Message(message) if message.type_id == type_id::COMMAND_AMF0 => {
                    self.commands.push(Command::parse(&message).unwrap());
                }
                Incoming::Message(message) => self.heard.push(message),
                Incoming::User(_) => {}
            }
        }
        length > 0
    }

    /// Waits for sound.
    pub(crate) async fn hear(&mut self) -> Message {
        self.get(type_id::AUDIO).await
    }

    /// Waits for a message of a stream.
    pub(crate) async fn get(&mut self, type_id: u8) -> Message {
        loop {
            let sound = self.heard.iter().position(|heard| heard.type_id == type_id);
            if let Some(index) = sound {
                return self.heard.remove(index);
            }
            assert!(self.read().await, "the connection ends");
        }
    }

    /// Says something.
    pub(crate) async fn say(&mut self, stream_id: u32, timestamp_ms: u32, payload: Vec<u8>) {
        let payload = Bytes::from(payload);
        let message = Message { type_id: type_id::AUDIO, stream_id, timestamp_ms, payload };
        self.link.send_message(chunk_stream::AUDIO, &message);
        self.flush().await;
    }

    /// Waits for the end of the connection, and gives the statuses that came before.
    pub(crate) async fn end(&mut self) -> Vec<Command> {
        while self.read().await {}
        std::mem::take(&mut self.commands)
    }
}
