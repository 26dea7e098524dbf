//! The files of video devices, and the names that stay theirs from one start to the next.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of video devices in `dev` by number, each with the name that udev links to it, if it does: by what it is,
/// else by where it is plugged in.
pub(super) fn files(dev: &Path) -> Vec<(PathBuf, Option<String>)> {
    let mut files: Vec<_> = entries(dev).into_iter().filter(|name| is_file(name)).collect();
    files.sort_by_key(|name| (name.len(), name.clone()));
    let links: Vec<(PathBuf, String)> = ["v4l/by-id", "v4l/by-path"]
        .into_iter()
        .flat_map(|folder| entries(&dev.join(folder)).into_iter().map(move |name| (dev.join(folder).join(&name), name)))
        .filter_map(|(link, name)| Some((fs::canonicalize(link).ok()?, name)))
        .collect();
    let named = |path: &PathBuf| {
        let real = fs::canonicalize(path).ok()?;
        links.iter().find(|(target, _)| *target == real).map(|(_, name)| name.clone())
    };
    files.into_iter().map(|name| dev.join(name)).map(|path| (path.clone(), named(&path))).collect()
}

/// `name` is one of a video device's file, as in `video0`.
pub(super) fn is_file(name: &str) -> bool {
    name.strip_prefix("video").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The name of a device without links: where it is and what it is.
pub(super) fn plain(bus: &str, card: &str) -> String {
    format!("{bus}-{card}").replace(|c: char| c.is_whitespace() || c.is_control(), "_")
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_by_what_it_is_before_where_it_is() {
        let dev = std::env::temp_dir().join(format!("conclave-dev-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dev);
        for folder in ["v4l/by-id", "v4l/by-path"] {
            fs::create_dir_all(dev.join(folder)).expect("a folder");
        }
        for file in ["video10", "video2", "video0", "video", "videotest", "vga"] {
            fs::write(dev.join(file), "").expect("a file");
        }
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(format!("../../{target}"), dev.join("v4l").join(name)).expect("a link");
        };
        link("video0", "by-path/pci-0000:00:14.0-usb-0:1:1.0-video-index0");
        link("video0", "by-id/usb-cam-video-index0");
        link("video2", "by-path/pci-0000:00:14.0-usb-0:2:1.0-video-index0");
        link("video7", "by-id/dangling");
        let found = files(&dev);
        let names: Vec<_> = found.iter().map(|(path, name)| (path.strip_prefix(&dev).ok(), name.as_deref())).collect();
        let by_path = Some("pci-0000:00:14.0-usb-0:2:1.0-video-index0");
        let file = |name| Some(Path::new(name));
        let told = [(file("video0"), Some("usb-cam-video-index0")), (file("video2"), by_path), (file("video10"), None)];
        assert_eq!(names, told);
        fs::remove_dir_all(&dev).expect("it goes");
        assert_eq!(plain("platform:loop-0", "Dummy cam\t1"), "platform:loop-0-Dummy_cam_1");
    }
}
