//! How close two pictures are: PSNR and SSIM of luma.
//!
//! The sums are integers, so that the figures do not depend on the machine. SSIM is the mean over 8x8 windows at
//! every fourth sample (Wang et al. 2004 with a flat window, the form that x264 and FFmpeg report); up to three
//! samples at the right and lower edge that fill no window are left out of it, never of PSNR.

use crate::{CodecError, Picture, Plane, Size};

/// PSNR of luma in dB, [`PSNR_CAP`] for equal pictures. Errors where the sizes differ.
pub fn psnr_y(a: &Picture, b: &Picture) -> Result<f64, CodecError> {
    same_size(a, b)?;
    Ok(psnr(squared_error(a.plane(Plane::Y), b.plane(Plane::Y)), a.size().area() as u64))
}

/// SSIM of luma, 1 for equal pictures. Errors where the sizes differ.
pub fn ssim_y(a: &Picture, b: &Picture) -> Result<f64, CodecError> {
    same_size(a, b)?;
    Ok(ssim(a.plane(Plane::Y), b.plane(Plane::Y), a.size()))
}

/// Quality of a sequence, gathered picture by picture.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Quality {
    /// Pictures compared.
    pub frames: u64,
    /// Sum of squared luma differences.
    pub squared_error: u64,
    /// Luma samples compared.
    pub samples: u64,
    /// Sum of the pictures' SSIM.
    pub ssim_sum: f64,
    /// Lowest PSNR of a picture in dB; 0 before the first.
    pub worst_psnr_y: f64,
    /// Lowest SSIM of a picture; 0 before the first.
    pub worst_ssim_y: f64,
}

impl Quality {
    /// Compares one pair and returns its PSNR (dB) and SSIM. Errors where the sizes differ; nothing is added then.
    pub fn add(&mut self, a: &Picture, b: &Picture) -> Result<(f64, f64), CodecError> {
        let ssim = ssim_y(a, b)?;
        let (error, samples) = (squared_error(a.plane(Plane::Y), b.plane(Plane::Y)), a.size().area() as u64);
        let psnr = psnr(error, samples);
        self.worst_psnr_y = if self.frames == 0 { psnr } else { self.worst_psnr_y.min(psnr) };
        self.worst_ssim_y = if self.frames == 0 { ssim } else { self.worst_ssim_y.min(ssim) };
        self.frames += 1;
        self.squared_error = self.squared_error.saturating_add(error);
        self.samples = self.samples.saturating_add(samples);
        self.ssim_sum += ssim;
        Ok((psnr, ssim))
    }

    /// PSNR in dB of all samples together; `None` before the first picture.
    pub fn psnr_y(&self) -> Option<f64> {
        (self.samples > 0).then(|| psnr(self.squared_error, self.samples))
    }

    /// Mean SSIM of the pictures; `None` before the first.
    pub fn ssim_y(&self) -> Option<f64> {
        (self.frames > 0).then(|| self.ssim_sum / self.frames as f64)
    }
}

/// What equal pictures score, in dB; no picture scores more.
pub const PSNR_CAP: f64 = 100.0;

fn same_size(a: &Picture, b: &Picture) -> Result<(), CodecError> {
    if a.size() == b.size() && a.size().area() > 0 {
        return Ok(());
    }
    let what = format!("pictures of {} and {} cannot be compared", a.size(), b.size());
    Err(CodecError::Config { codec: "metrics", what, hint: "scale one to the size of the other" })
}

fn squared_error(a: &[u8], b: &[u8]) -> u64 {
    // A chunk's sum fits 32 bits: 4096 * 255².
    let chunks = a.chunks(4096).zip(b.chunks(4096));
    let sum = |(a, b): (&[u8], &[u8])| a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>();
    chunks.map(|pair| u64::from(sum(pair))).sum()
}

fn psnr(squared_error: u64, samples: u64) -> f64 {
    if squared_error == 0 {
        return PSNR_CAP;
    }
    (10.0 * (255.0 * 255.0 * samples as f64 / squared_error as f64).log10()).min(PSNR_CAP)
}

/// Sums of a, of b, of a² + b², and of a·b.
#[derive(Clone, Copy, Default)]
struct Sums {
    a: u32,
    b: u32,
    squares: u32,
    product: u32,
}

impl std::ops::Add for Sums {
    type Output = Sums;
    fn add(self, other: Sums) -> Sums {
        Sums {
            a: self.a + other.a,
            b: self.b + other.b,
            squares: self.squares + other.squares,
            product: self.product + other.product,
        }
    }
}

fn block(a: &[u8], b: &[u8], stride: usize, x: usize, y: usize, size: (usize, usize)) -> Sums {
    let mut sums = Sums::default();
    for row in y..y + size.1 {
        let at = row * stride + x;
        for (&a, &b) in a[at..at + size.0].iter().zip(&b[at..at + size.0]) {
            let (a, b) = (u32::from(a), u32::from(b));
            sums = sums + Sums { a, b, squares: a * a + b * b, product: a * b };
        }
    }
    sums
}

fn ssim(a: &[u8], b: &[u8], size: Size) -> f64 {
    let (width, height) = (size.width as usize, size.height as usize);
    if width < 8 || height < 8 {
        // Too small for a window: the upper left corner is the window.
        let window = (width.min(8), height.min(8));
        return window_ssim(block(a, b, width, 0, 0, window), (window.0 * window.1) as f64);
    }
    let (columns, rows) = (width / 4, height / 4);
    let line = |y: usize, into: &mut Vec<Sums>| {
        into.clear();
        into.extend((0..columns).map(|x| block(a, b, width, 4 * x, 4 * y, (4, 4))));
    };
    let (mut above, mut below) = (Vec::with_capacity(columns), Vec::with_capacity(columns));
    line(0, &mut above);
    let mut total = 0.0;
    for y in 1..rows {
        line(y, &mut below);
        let windows = above.windows(2).zip(below.windows(2));
        total += windows.map(|(a, b)| window_ssim(a[0] + a[1] + b[0] + b[1], 64.0)).sum::<f64>();
        std::mem::swap(&mut above, &mut below);
    }
    total / ((columns - 1) * (rows - 1)) as f64
}

fn window_ssim(sums: Sums, n: f64) -> f64 {
    let (a, b) = (f64::from(sums.a) / n, f64::from(sums.b) / n);
    let variances = f64::from(sums.squares) / n - a * a - b * b;
    let covariance = f64::from(sums.product) / n - a * b;
    let (c1, c2) = ((0.01f64 * 255.0).powi(2), (0.03f64 * 255.0).powi(2));
    (2.0 * a * b + c1) * (2.0 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Color;

    fn noise(size: Size, seed: u64) -> Picture {
        let mut picture = Picture::new(size, Color::default());
        fastrand::Rng::with_seed(seed).fill(picture.data_mut());
        picture
    }

    /// The textbook form, window by window in floating point.
    fn plain_ssim(a: &Picture, b: &Picture) -> f64 {
        let (width, height) = (a.size().width as usize, a.size().height as usize);
        let (mut total, mut count) = (0.0, 0);
        for y in (0..=height / 4 * 4 - 8).step_by(4) {
            for x in (0..=width / 4 * 4 - 8).step_by(4) {
                let get = |p: &Picture, i: usize| f64::from(p.plane(Plane::Y)[(y + i / 8) * width + x + i % 8]);
                let mean = |p| (0..64).map(|i| get(p, i)).sum::<f64>() / 64.0;
                let (ma, mb) = (mean(a), mean(b));
                let cov = |p, mp, q, mq| (0..64).map(|i| (get(p, i) - mp) * (get(q, i) - mq)).sum::<f64>() / 64.0;
                let (va, vb, ab) = (cov(a, ma, a, ma), cov(b, mb, b, mb), cov(a, ma, b, mb));
                let (c1, c2) = (6.5025, 58.5225);
                total += (2.0 * ma * mb + c1) * (2.0 * ab + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2));
                count += 1;
            }
        }
        total / f64::from(count)
    }

    #[test]
    fn equal_pictures_score_the_cap() {
        for size in [Size::new(1, 1), Size::new(7, 30), Size::new(8, 8), Size::new(35, 21)] {
            let picture = noise(size, 1);
            assert_eq!(psnr_y(&picture, &picture).expect("same size"), PSNR_CAP);
            assert!((ssim_y(&picture, &picture).expect("same size") - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_known_error_scores_its_known_psnr() {
        let black = Picture::new(Size::new(64, 64), Color::default());
        let mut other = black.clone();
        other.plane_mut(Plane::Y).fill(16 + 5);
        // A mean squared error of 25.
        assert!((psnr_y(&black, &other).expect("same size") - 34.1514).abs() < 1e-3);
        other.plane_mut(Plane::U).fill(0);
        assert!((psnr_y(&black, &other).expect("same size") - 34.1514).abs() < 1e-3, "luma alone counts");
    }

    #[test]
    fn ssim_equals_the_textbook_form() {
        for size in [Size::new(8, 8), Size::new(35, 21), Size::new(66, 50)] {
            let a = noise(size, 7);
            let mut b = noise(size, 8);
            b.data_mut()
                .iter_mut()
                .zip(a.data())
                .for_each(|(b, a)| *b = ((u32::from(*b) + 3 * u32::from(*a)) / 4) as u8);
            let (fast, plain) = (ssim_y(&a, &b).expect("same size"), plain_ssim(&a, &b));
            assert!((fast - plain).abs() < 1e-9, "{size}: {fast} and {plain}");
            assert!(fast > 0.5 && fast < 0.999);
        }
    }

    #[test]
    fn the_accumulator_agrees_with_the_single_figures() {
        let size = Size::new(32, 24);
        let (a, b, c) = (noise(size, 1), noise(size, 2), noise(size, 3));
        let mut quality = Quality::default();
        assert_eq!((quality.psnr_y(), quality.ssim_y()), (None, None));
        let first = quality.add(&a, &b).expect("same size");
        assert_eq!(Some(first.0), quality.psnr_y());
        let second = quality.add(&a, &c).expect("same size");
        assert_eq!(quality.ssim_y(), Some((first.1 + second.1) / 2.0));
        assert_eq!(quality.worst_psnr_y, first.0.min(second.0));
        assert!(quality.add(&a, &noise(Size::new(8, 8), 1)).is_err());
        assert_eq!(quality.frames, 2);
    }
}
