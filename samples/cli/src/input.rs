//! The words of the command line that need a parser of their own.

use conclave::codecs::Size;
use conclave::e2ee::group::{GroupSuite, MeetingType};
use conclave::gpu::{Lift, Prefer, Strength};

/// `1500k`, `1.5M`, `64000` → bits a second; 0 and words are refused.
pub fn bitrate(text: &str) -> Result<u32, String> {
    let (digits, factor) = match text.trim_end_matches(['k', 'K', 'M']) {
        digits if digits.len() + 1 == text.len() && text.ends_with('M') => (digits, 1e6),
        digits if digits.len() + 1 == text.len() => (digits, 1e3),
        digits => (digits, 1.0),
    };
    let bits = digits.parse::<f64>().map_err(|_| format!("`{text}` is no bitrate; try 1500k or 1.5M"))? * factor;
    if !(1_000.0..=1e9).contains(&bits) {
        return Err(format!("a bitrate of {text} cannot carry video; try 1500k (1k to 1000M bits a second)"));
    }
    Ok(bits as u32)
}

/// `96k` → bits a second that Opus can have.
pub fn audio_bitrate(text: &str) -> Result<u32, String> {
    match bitrate(text) {
        Ok(bits) if (6_000..=510_000).contains(&bits) => Ok(bits),
        _ => Err(format!("`{text}` is no bitrate of Opus; try 96k (6k to 510k bits a second)")),
    }
}

/// `1280x720` → a size of at least 16×16.
pub fn size(text: &str) -> Result<Size, String> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some(Size::new(w.parse().ok()?, h.parse().ok()?)));
    match parsed {
        Some(size) if (16..=8192).contains(&size.width) && (16..=8192).contains(&size.height) => Ok(size),
        Some(size) => Err(format!("a size of {size} is outside 16x16 to 8192x8192; try 1280x720")),
        None => Err(format!("`{text}` is no size; try 1280x720")),
    }
}

/// `30` or `30000/1001` → a frame rate between 1 and 240.
pub fn rate(text: &str) -> Result<(u32, u32), String> {
    let (num, den) = text.split_once('/').unwrap_or((text, "1"));
    let parsed = num.parse::<u32>().ok().zip(den.parse::<u32>().ok());
    match parsed {
        Some((num, den)) if den > 0 && num >= den && num / den <= 240 => Ok((num, den)),
        _ => Err(format!("`{text}` is no frame rate between 1 and 240; try 30 or 30000/1001")),
    }
}

/// A share between 0 and 100 percent.
pub fn percent(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err(format!("`{text}` is no percentage between 0 and 100; try 5")),
    }
}

/// `hybrid` or `classical`.
pub fn suite(text: &str) -> Result<GroupSuite, String> {
    match text {
        "hybrid" => Ok(GroupSuite::Hybrid),
        "classical" => Ok(GroupSuite::Classical),
        _ => Err(format!("`{text}` is no suite of a group; try hybrid or classical")),
    }
}

/// `end-to-end` or `enhanced`.
pub fn meeting(text: &str) -> Result<MeetingType, String> {
    match text {
        "end-to-end" => Ok(MeetingType::EndToEnd),
        "enhanced" => Ok(MeetingType::Enhanced),
        _ => Err(format!("`{text}` is no type of meeting; try end-to-end or enhanced")),
    }
}

/// `auto`, `cpu` or `gpu`.
pub fn device(text: &str) -> Result<Prefer, String> {
    match text {
        "auto" => Ok(Prefer::Auto),
        "cpu" => Ok(Prefer::Cpu),
        "gpu" => Ok(Prefer::Gpu),
        _ => Err(format!("`{text}` is no place to convert; try auto, cpu or gpu")),
    }
}

/// `light`, `medium` or `strong`.
pub fn denoise(text: &str) -> Result<Strength, String> {
    match text {
        "light" => Ok(Strength::Light),
        "medium" => Ok(Strength::Medium),
        "strong" => Ok(Strength::Strong),
        _ => Err(format!("`{text}` is no strength of denoising; try light, medium or strong")),
    }
}

/// `off`, `gentle` or `strong`.
pub fn lift(text: &str) -> Result<Lift, String> {
    match text {
        "off" => Ok(Lift::Off),
        "gentle" => Ok(Lift::Gentle),
        "strong" => Ok(Lift::Strong),
        _ => Err(format!("`{text}` is no way to lift low light; try off, gentle or strong")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(bitrate("1500k"), Ok(1_500_000));
        assert_eq!(bitrate("1.5M"), Ok(1_500_000));
        assert_eq!(bitrate("64000"), Ok(64_000));
        assert_eq!(audio_bitrate("96k"), Ok(96_000));
        assert_eq!(size("1280x720"), Ok(Size::new(1280, 720)));
        assert_eq!(suite("classical"), Ok(GroupSuite::Classical));
        assert_eq!(rate("30000/1001"), Ok((30_000, 1_001)));
    }

    #[test]
    fn refuses_with_a_hint() {
        for bad in ["0", "k", "", "-3", "nan", "1e99"] {
            assert!(bitrate(bad).unwrap_err().contains("try"), "{bad}");
        }
        for bad in ["0", "5999", "511k", "loud"] {
            assert!(audio_bitrate(bad).unwrap_err().contains("try"), "{bad}");
        }
        for bad in ["0x0", "70000x70000", "12", "x", "15x64"] {
            assert!(size(bad).unwrap_err().contains("try"), "{bad}");
        }
        for bad in ["0", "0/0", "1/0", "999", "1/2"] {
            assert!(rate(bad).unwrap_err().contains("try"), "{bad}");
        }
        assert!(suite("quantum").unwrap_err().contains("try"));
        assert!(percent("101").is_err() && percent("nan").is_err());
    }
}
