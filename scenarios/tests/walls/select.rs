//! The gate on `select!`: without `biased;` it begins at a branch of its own choice, another in every process. No lint knows it.

#![allow(clippy::disallowed_methods, reason = "reads the sources")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines, from 1, on which `source` begins a `select!` whose first word is not `biased;`.
fn unbiased_selects(source: &str) -> Vec<usize> {
    let code: Vec<&str> =
        source.lines().map(|line| line.split("//").next().unwrap_or(line)).collect();
    let begins = code.iter().enumerate().filter_map(|(index, line)| {
        let (_, after) = line.split_once("select!")?;
        let body: String =
            std::iter::once(after).chain(code[index + 1..].iter().copied()).collect();
        let body = body.trim_start().trim_start_matches(['{', '(', '[']).trim_start();
        (!body.starts_with("biased;")).then_some(index + 1)
    });
    begins.collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_select_is_biased() {
    let workspace =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of a workspace");
    let mut files = Vec::new();
    for folder in ["core/src", "sim/src", "scenarios/src", "leakcheck/src"] {
        rust_files(&workspace.join(folder), &mut files);
    }
    assert!(files.len() > 50, "only {files:?}");
    let mut selects = 0;
    for file in files {
        let source = fs::read_to_string(&file).expect("readable");
        selects += source.matches("select!").count();
        let lines = unbiased_selects(&source);
        assert!(lines.is_empty(), "{}, lines {lines:?}: select! without biased;", file.display());
    }
    assert!(selects > 0, "nothing was looked at");
}

#[test]
fn an_unbiased_select_is_found() {
    for biased in [
        "tokio::select! {\n    biased;\n    a = b => {}\n}",
        "select! { biased; a = b => {} }",
        "select!(biased; a = b => {})",
        "select!\n{\n    // In this order.\n\n    biased;\n}",
        "// select! { a = b => {} }",
    ] {
        assert_eq!(unbiased_selects(biased), [0; 0], "{biased}");
    }
    for unbiased in [
        "\ntokio::select! {\n    a = b => {}\n    biased;\n}",
        "\nselect! { a = b => {} }",
        "\nlet c = select!(a = b => {});",
        "\nselect! {\n    // biased;\n    a = b => {}\n}",
        "\nselect! {",
    ] {
        assert_eq!(unbiased_selects(unbiased), [2], "{unbiased}");
    }
}
