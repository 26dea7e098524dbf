//! `conclave policy` as administrators meet it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// A file of its own for each test, gone at the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("conclave-policy-{name}-{}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn check(&self, args: &[&str]) -> Output {
        conclave(&[&["policy", "check", self.0.to_str().unwrap()], args].concat())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn conclave(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conclave")).args(args).output().unwrap()
}

fn stdout(out: Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn refused(out: Output) -> String {
    let said = String::from_utf8(out.stderr).unwrap();
    assert_eq!((out.status.code(), out.stdout.len(), said.trim_end().lines().count()), (Some(2), 0, 1), "{said}");
    said
}

/// Cells of the line that begins with `name`, under the title that begins with `title`.
fn line(text: &str, title: &str, name: &str) -> Vec<String> {
    let lines = text.lines().skip_while(|line| !line.starts_with(title));
    let line =
        lines.map(str::trim).find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{title}, {name}: {text}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(ToOwned::to_owned).collect()
}

#[test]
fn the_example_is_checked_and_says_who_decided_what_for_whom() {
    let file = File::new("example", &stdout(conclave(&["policy", "example"])));
    let text = stdout(file.check(&[]));
    let ada = "User ada@example.com in the group board";
    let expected =
        ["default_encryption", "end-to-end", "group board", "group board", "enhanced (account), enhanced (user)"];
    assert_eq!(line(&text, ada, "default_encryption"), expected);
    assert_eq!(line(&text, ada, "waiting_room"), ["waiting_room", "false", "user", "true (account)"]);
    assert_eq!(line(&text, "Everybody in no group", "suite"), ["suite", "hybrid", "account"]);
    assert_eq!(line(&text, "Everybody in no group", "where the host"), ["where the host says nothing: enhanced"]);
    assert_eq!(line(&text, ada, "where the host"), ["where the host says nothing: end-to-end"]);
    for part in ["cloud recording: ", "web client: ", "desktop client on Linux, from 5.4.0 on", "3.138.115.0/27"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let one = stdout(file.check(&["--user", "ada@example.com"]));
    assert!(one.starts_with(ada) && !one.contains("Everybody"), "{one}");
    let other = stdout(file.check(&["--user", "bob", "--group", "board"]));
    assert!(other.starts_with("User bob in the group board, whom the file does not name"), "{other}");
}

#[test]
fn the_same_comes_as_one_object() {
    let file =
        File::new("json", "[account]\nallow_e2ee = { value = false, locked = true }\n[user.ann]\nallow_e2ee = true");
    let report: Value = serde_json::from_str(&stdout(file.check(&["--json"]))).unwrap();
    let ann = &report["subjects"][1];
    assert_eq!((&ann["user"], &ann["named"], &ann["default"]), (&"ann".into(), &true.into(), &"enhanced".into()));
    let allow = &ann["settings"][0];
    assert_eq!((&allow["name"], &allow["value"]), (&"allow_e2ee".into(), &"false".into()));
    assert_eq!((&allow["by"], &allow["locked"]), (&"account".into(), &"account".into()));
    assert_eq!(allow["overruled"], serde_json::json!([["user", "true"]]));
    assert_eq!(ann["settings"][1]["by"], "builtin");
    assert_eq!((&ann["meetings"][0]["type"], &ann["meetings"][0]["allowed"]), (&"end-to-end".into(), &false.into()));
    assert_eq!(report["end_to_end"]["switched_off"].as_array().unwrap().len(), 8);
    let example: Value = serde_json::from_str(&stdout(conclave(&["policy", "example", "--json"]))).unwrap();
    assert!(example["toml"].as_str().unwrap().contains("[account]"));
}

#[test]
fn a_file_that_is_wrong_is_one_line_with_the_line_and_a_hint() {
    let file = File::new("wrong", "[account]\n\nallow_e2ee = \"yes\"\n");
    let said = refused(file.check(&[]));
    let begin =
        format!("conclave: {}, line 3: `account.allow_e2ee` is \"yes\"; expected true or false", file.0.display());
    assert!(said.starts_with(&begin) && said.contains("conclave policy example"), "{said}");
    let said = refused(file.check(&["--json"]));
    assert!(said.starts_with(&begin), "{said}");
    let file = File::new("group", "[group.a]\n");
    assert!(refused(file.check(&["--group", "b"])).contains("no group \"b\"; it has \"a\""));
    let said = refused(conclave(&["policy", "check", "no-such-file.toml"]));
    assert!(
        said.contains("cannot read no-such-file.toml; `conclave policy example > no-such-file.toml` makes one"),
        "{said}"
    );
}
