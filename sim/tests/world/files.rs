//! What programs can rely on for files: the same bodies on a simulated disk and on the operating
//! system's.

#![allow(
    clippy::disallowed_methods,
    reason = "the same bodies run on real files in a folder of their own"
)]

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::pair::{LIMIT, pair};
use rehearsal_core::env::{Env, File, Os, read_file};

/// Runs each body twice, in a folder that has a folder `sub` and nothing else.
macro_rules! on_both {
    ($($body:ident),+ $(,)?) => {
        mod simulated {
            use super::*;
            $(#[test]
            fn $body() {
                let (world, host, _) = pair(1);
                host.create_folder("/srv/sub");
                let outcome = world.run(LIMIT, super::$body(&host, Path::new("/srv")));
                assert_eq!(outcome, Ok(()));
                assert_eq!(host.open_files(), 0);
            })+
        }

        mod real {
            use super::*;
            $(#[test]
            fn $body() {
                let scratch = Scratch::new(stringify!($body));
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                runtime.expect("a runtime").block_on(super::$body(&Os, &scratch.0));
            })+
        }
    };
}

on_both!(
    what_was_written_is_read_at_any_place,
    a_replaced_file_stays_with_who_has_it_open,
    a_removed_file_stays_with_who_has_it_open,
    a_file_that_is_created_again_is_empty_for_its_readers,
    a_reader_sees_what_is_appended,
    a_file_keeps_its_writer_when_it_is_renamed,
    what_was_opened_for_reading_is_not_written,
    a_rename_to_itself_changes_nothing,
    errors_are_those_of_linux,
);

/// A folder of the operating system's, gone with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("files-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("sub")).expect("the target folder can be written");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file with this content, open for reading and writing.
async fn created<E: Env>(env: &E, path: &Path, content: &[u8]) -> E::File {
    let file = env.create(path).await.expect("can be created");
    assert_eq!(file.len_bytes(), 0);
    assert_eq!(file.write_at(0, content).await.expect("there is room"), content.len());
    file
}

/// What `file` has from `offset` on.
async fn rest(file: &impl File, offset: u64) -> String {
    let mut buf = [0; 64];
    let read = file.read_at(offset, &mut buf).await.expect("can be read");
    String::from_utf8(buf[..read].to_vec()).expect("text")
}

async fn content<E: Env>(env: &E, path: &Path) -> String {
    String::from_utf8(read_file(env, path, 1_000).await.expect("can be read")).expect("text")
}

async fn what_was_written_is_read_at_any_place<E: Env>(env: &E, folder: &Path) {
    let path = folder.join("file");
    let file = created(env, &path, b"0123456789").await;
    file.write_at(4, b"____").await.expect("there is room");
    assert_eq!(rest(&file, 2).await, "23____89");
    assert_eq!(rest(&file, 10).await, "");
    assert_eq!(rest(&file, 1 << 40).await, "");
    file.write_at(12, b"!").await.expect("there is room");
    file.sync().await.expect("is kept");
    assert_eq!(content(env, &path).await, "0123____89\0\0!");
    assert_eq!(file.write_at(40, b"").await.expect("nothing is written"), 0);
    assert_eq!(env.open(&path).await.expect("is there").len_bytes(), 13);
    assert_eq!(file.len_bytes(), 0, "as it was opened");
}

async fn a_replaced_file_stays_with_who_has_it_open<E: Env>(env: &E, folder: &Path) {
    let (path, part) = (folder.join("file"), folder.join("sub/part"));
    created(env, &path, b"old content").await;
    let reader = env.open(&path).await.expect("is there");
    created(env, &part, b"new").await;
    env.rename(&part, &path).await.expect("both can be named");
    assert_eq!((rest(&reader, 4).await, reader.len_bytes()), ("content".into(), 11));
    assert_eq!(content(env, &path).await, "new");
    assert_eq!(kind(env.open(&part).await), Some(ErrorKind::NotFound));
}

async fn a_removed_file_stays_with_who_has_it_open<E: Env>(env: &E, folder: &Path) {
    let path = folder.join("file");
    let file = created(env, &path, b"content").await;
    env.remove(&path).await.expect("is there");
    assert_eq!(kind(env.open(&path).await), Some(ErrorKind::NotFound));
    file.write_at(7, b" goes on").await.expect("is open");
    file.sync().await.expect("is open");
    created(env, &path, b"another").await;
    assert_eq!(rest(&file, 0).await, "content goes on");
}

async fn a_file_that_is_created_again_is_empty_for_its_readers<E: Env>(env: &E, folder: &Path) {
    let path = folder.join("file");
    created(env, &path, b"a long content").await;
    let reader = env.open(&path).await.expect("is there");
    created(env, &path, b"short").await;
    assert_eq!((rest(&reader, 2).await, reader.len_bytes()), ("ort".into(), 14));
    assert_eq!(rest(&reader, 5).await, "");
}

async fn a_reader_sees_what_is_appended<E: Env>(env: &E, folder: &Path) {
    let path = folder.join("file");
    let writer = created(env, &path, b"one").await;
    let reader = env.open(&path).await.expect("is there");
    writer.write_at(3, b" two").await.expect("there is room");
    assert_eq!((rest(&reader, 3).await, reader.len_bytes()), (" two".into(), 3));
}

async fn a_file_keeps_its_writer_when_it_is_renamed<E: Env>(env: &E, folder: &Path) {
    let (part, path) = (folder.join("part"), folder.join("sub/file"));
    let writer = created(env, &part, b"one").await;
    env.rename(&part, &path).await.expect("both can be named");
    writer.write_at(3, b" two").await.expect("is open");
    assert_eq!(content(env, &path).await, "one two");
}

async fn what_was_opened_for_reading_is_not_written<E: Env>(env: &E, folder: &Path) {
    let path = folder.join("file");
    created(env, &path, b"content").await;
    let reader = env.open(&path).await.expect("is there");
    let refused = reader.write_at(0, b"x").await.expect_err("cannot be written");
    assert_eq!(refused.to_string(), "Bad file descriptor (os error 9)");
    assert_eq!(content(env, &path).await, "content");
}

async fn a_rename_to_itself_changes_nothing<E: Env>(env: &E, folder: &Path) {
    let path = folder.join("file");
    created(env, &path, b"content").await;
    env.rename(&path, &folder.join("./sub/../file")).await.expect("is there");
    assert_eq!(content(env, &path).await, "content");
}

fn kind<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

async fn errors_are_those_of_linux<E: Env>(env: &E, folder: &Path) {
    use ErrorKind::{
        DirectoryNotEmpty, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound,
    };
    created(env, &folder.join("file"), b"content").await;
    let long = "n".repeat(256);
    let longer = "sub/../".repeat(600) + "file";
    let full = |name: &str| folder.join(name);

    let everywhere = [
        ("sub", IsADirectory),
        ("file/x", NotADirectory),
        ("file/../file", NotADirectory),
        ("none/x", NotFound),
        ("none/../file", NotFound),
        (&long, InvalidFilename),
        (&longer, InvalidFilename),
        ("a\0b", InvalidInput),
    ];
    for (name, expected) in everywhere {
        let path = full(name);
        assert_eq!(kind(env.open(&path).await), Some(expected), "open {name:?}");
        assert_eq!(kind(env.create(&path).await), Some(expected), "create {name:?}");
        assert_eq!(kind(env.remove(&path).await), Some(expected), "remove {name:?}");
        let from = env.rename(&path, &full("new")).await;
        assert_eq!(kind(from), Some(expected), "rename {name:?}");
        let to = env.rename(&full("file"), &path).await;
        assert_eq!(kind(to), Some(expected), "rename to {name:?}");
    }
    for (name, expected) in [("none", NotFound), ("file/", NotADirectory)] {
        let path = full(name);
        assert_eq!(kind(env.open(&path).await), Some(expected), "open {name:?}");
        assert_eq!(kind(env.remove(&path).await), Some(expected), "remove {name:?}");
        let from = env.rename(&path, &full("new")).await;
        assert_eq!(kind(from), Some(expected), "rename {name:?}");
    }
    assert_eq!(kind(env.open(Path::new("")).await), Some(NotFound));
    assert_eq!(kind(env.create(&full("new/")).await), Some(IsADirectory));
    assert_eq!(kind(env.create(&full("file/")).await), Some(IsADirectory));
    assert_eq!(kind(env.rename(&full("file"), &full("new/")).await), Some(NotADirectory));
    assert_eq!(kind(env.rename(&full("file"), folder).await), Some(DirectoryNotEmpty));
    assert_eq!(content(env, &full("file")).await, "content");
}
