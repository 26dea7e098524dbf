//! The features of the MLS library that print keys and contents are never on, in any build of the workspace.

use std::process::Command;

#[test]
fn no_build_prints_keys_or_contents() {
    let cargo = option_env!("CARGO").unwrap_or("cargo");
    let arguments = ["tree", "--workspace", "--edges", "features", "--offline", "--prefix", "none"];
    let tree = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let tree = match tree {
        Ok(tree) if tree.status.success() => String::from_utf8_lossy(&tree.stdout).into_owned(),
        Ok(tree) => return println!("skipped: cargo tree: {}", String::from_utf8_lossy(&tree.stderr)),
        Err(error) => return println!("skipped: no cargo here: {error}"),
    };
    // The judge sees features at all: these two are on.
    assert!(tree.contains("openmls feature \"extensions-draft\""), "cargo tree shows no features");
    assert!(tree.contains("x-wing feature \"zeroize\""), "X-Wing does not wipe its keys");
    for feature in ["crypto-debug", "content-debug"] {
        assert!(!tree.contains(feature), "{feature} is on");
    }
}
