//! What a session tells of itself: percentiles per stage, drops by cause, time series for plots. All of fixed size.

use hdrhistogram::Histogram;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::ledger::{Ledger, STAGES, Stage};
use crate::time::Time;

/// Collects how long each stage took. Recording never allocates.
pub struct StageStats {
    /// One per stage, and the whole way last.
    histograms: [Histogram<u32>; STAGES + 3],
}

impl Default for StageStats {
    fn default() -> Self {
        Self::new()
    }
}

impl StageStats {
    /// Nothing recorded yet. About 0.8 MB, once.
    pub fn new() -> Self {
        Self { histograms: std::array::from_fn(|_| histogram()) }
    }

    /// Records every stage that `ledger` has stamped and, where it goes from capture to render, the whole way.
    pub fn record(&mut self, ledger: &Ledger) {
        for stage in Stage::ALL {
            if let Some(us) = ledger.spent(stage) {
                self.record_stage(stage, us);
            }
        }
        self.record_gpu(ledger);
        if let (Some(start), Some(end)) = (ledger.at(Stage::Capture), ledger.at(Stage::Render)) {
            self.record_total(end.since(start));
        }
    }

    /// Records what the GPU's own clock counted, for stages that are recorded one by one.
    pub fn record_gpu(&mut self, ledger: &Ledger) {
        for (stage, at) in [(Stage::Convert, CONVERT_GPU), (Stage::Encode, ENCODE_GPU)] {
            if let Some(us) = ledger.gpu_us(stage) {
                self.histograms[at].saturating_record(us);
            }
        }
    }

    /// Records `us` microseconds for one stage, for stamps that do not lie in one ledger.
    pub fn record_stage(&mut self, stage: Stage, us: u64) {
        self.histograms[stage as usize].saturating_record(us);
    }

    /// Records `us` microseconds for the whole way from capture to render.
    pub fn record_total(&mut self, us: u64) {
        self.histograms[TOTAL].saturating_record(us);
    }

    /// Adds what `other` recorded, for example the other half of the path.
    pub fn merge(&mut self, other: &StageStats) {
        for (mine, theirs) in self.histograms.iter_mut().zip(&other.histograms) {
            // Cannot fail: all histograms have the same bounds.
            let _ = mine.add(theirs);
        }
    }

    /// The percentiles now.
    pub fn latency(&self) -> Latency {
        let read = |histogram: &Histogram<u32>| (!histogram.is_empty()).then(|| Percentiles::of(histogram));
        Latency {
            stages: std::array::from_fn(|stage| read(&self.histograms[stage])),
            convert_gpu: read(&self.histograms[CONVERT_GPU]),
            encode_gpu: read(&self.histograms[ENCODE_GPU]),
            total: read(&self.histograms[TOTAL]),
        }
    }
}

/// Places of the histograms behind those of the stages.
const TOTAL: usize = STAGES;
const CONVERT_GPU: usize = STAGES + 1;
const ENCODE_GPU: usize = STAGES + 2;

/// Percentiles of a set of durations, in microseconds, to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Percentiles {
    /// Half took no longer.
    pub p50: u64,
    /// 95 of 100 took no longer.
    pub p95: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
    /// None took longer; 60 seconds stands for anything above.
    pub max: u64,
    /// Durations recorded.
    pub count: u64,
}

impl Percentiles {
    fn of(histogram: &Histogram<u32>) -> Self {
        Self {
            p50: histogram.value_at_quantile(0.50),
            p95: histogram.value_at_quantile(0.95),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
            count: histogram.len(),
        }
    }
}

/// Percentiles of each stage. As JSON `{"encode": {"p50": …, "p95": …, "p99": …, "max": …, "count": …}, …}`, in the
/// order of the path, the whole way last as `total`, and without what was never recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Indexed by [`Stage`]; `None` where nothing was recorded.
    pub stages: [Option<Percentiles>; STAGES],
    /// The GPU's share of converting, by its own clock; it lies within the stage.
    pub convert_gpu: Option<Percentiles>,
    /// The GPU's share of encoding, likewise.
    pub encode_gpu: Option<Percentiles>,
    /// From capture to render.
    pub total: Option<Percentiles>,
}

impl Latency {
    /// What one stage took.
    pub fn stage(&self, stage: Stage) -> Option<Percentiles> {
        self.stages[stage as usize]
    }

    /// Names and percentiles of what was recorded, in the order of the path, `total` last.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, Percentiles)> + '_ {
        let stages = Stage::ALL.into_iter().filter_map(|stage| Some((stage.name(), self.stage(stage)?)));
        let gpu = [("convert_gpu", self.convert_gpu), ("encode_gpu", self.encode_gpu)];
        let behind = gpu.into_iter().chain([("total", self.total)]);
        stages.chain(behind.filter_map(|(name, percentiles)| Some((name, percentiles?))))
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.rows())
    }
}

/// Why something did not get through. Frames and packets each count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cause {
    /// A newer picture took its place before the encoder.
    CaptureReplaced,
    /// The encoder failed on it.
    EncodeFailed,
    /// It could not be sealed: no key, or the key's counter is used up.
    SealFailed,
    /// It does not fit into the fragments of one frame.
    FrameTooLarge,
    /// The queue to the sending thread was full.
    SendQueueFull,
    /// The transport did not take the packet.
    TransportRefused,
    /// The queue from the socket was full.
    ReceiveQueueFull,
    /// The packet is not what its protocol says.
    Malformed,
    /// The packet belongs to no stream of this session.
    UnknownStream,
    /// The packet came a second time.
    Duplicate,
    /// The packet came after its frame was shown or given up.
    Late,
    /// Packets of the frame never came.
    Incomplete,
    /// The bound on frames in assembly was reached.
    AssemblyFull,
    /// There is no key of the frame's key id.
    NoKey,
    /// The frame is a replay.
    Replayed,
    /// The frame is older than the replay window.
    TooOld,
    /// The frame does not authenticate.
    Tampered,
    /// A frame it needs is missing.
    ReferenceMissing,
    /// The decoder failed on it.
    DecodeFailed,
    /// The playout buffer of the audio was full.
    PlayoutFull,
    /// A newer picture took its place before the screen.
    RenderReplaced,
}

/// Number of causes.
pub const CAUSES: usize = 21;

impl Cause {
    /// The causes in the order of the path.
    pub const ALL: [Cause; CAUSES] = [
        Cause::CaptureReplaced,
        Cause::EncodeFailed,
        Cause::SealFailed,
        Cause::FrameTooLarge,
        Cause::SendQueueFull,
        Cause::TransportRefused,
        Cause::ReceiveQueueFull,
        Cause::Malformed,
        Cause::UnknownStream,
        Cause::Duplicate,
        Cause::Late,
        Cause::Incomplete,
        Cause::AssemblyFull,
        Cause::NoKey,
        Cause::Replayed,
        Cause::TooOld,
        Cause::Tampered,
        Cause::ReferenceMissing,
        Cause::DecodeFailed,
        Cause::PlayoutFull,
        Cause::RenderReplaced,
    ];

    /// Name as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::CaptureReplaced => "capture_replaced",
            Cause::EncodeFailed => "encode_failed",
            Cause::SealFailed => "seal_failed",
            Cause::FrameTooLarge => "frame_too_large",
            Cause::SendQueueFull => "send_queue_full",
            Cause::TransportRefused => "transport_refused",
            Cause::ReceiveQueueFull => "receive_queue_full",
            Cause::Malformed => "malformed",
            Cause::UnknownStream => "unknown_stream",
            Cause::Duplicate => "duplicate",
            Cause::Late => "late",
            Cause::Incomplete => "incomplete",
            Cause::AssemblyFull => "assembly_full",
            Cause::NoKey => "no_key",
            Cause::Replayed => "replayed",
            Cause::TooOld => "too_old",
            Cause::Tampered => "tampered",
            Cause::ReferenceMissing => "reference_missing",
            Cause::DecodeFailed => "decode_failed",
            Cause::PlayoutFull => "playout_full",
            Cause::RenderReplaced => "render_replaced",
        }
    }
}

/// Drops by cause. As JSON `{"late": 3, …}`, every cause named, also those that never occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    counts: [u64; CAUSES],
}

impl Drops {
    /// Counts one.
    pub fn count(&mut self, cause: Cause) {
        self.add(cause, 1);
    }

    /// Counts `n`, for example the counter of a queue at the end of a session.
    pub fn add(&mut self, cause: Cause, n: u64) {
        let count = &mut self.counts[cause as usize];
        *count = count.saturating_add(n);
    }

    /// Counts what `other` counted.
    pub fn merge(&mut self, other: &Drops) {
        Cause::ALL.into_iter().for_each(|cause| self.add(cause, other.of(cause)));
    }

    /// How often `cause` occurred.
    pub fn of(&self, cause: Cause) -> u64 {
        self.counts[cause as usize]
    }

    /// All drops.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }
}

impl Serialize for Drops {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(CAUSES))?;
        for cause in Cause::ALL {
            map.serialize_entry(cause.name(), &self.of(cause))?;
        }
        map.end()
    }
}

/// What fell into one span of a [`Series`].
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Sample {
    /// When the span begins.
    pub at: Time,
    /// Values that fell into it, at least one.
    pub count: u64,
    /// Their sum: bytes sent make a bitrate.
    pub sum: f64,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
}

impl Sample {
    /// The mean of the values.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    fn absorb(&mut self, other: &Sample) {
        self.count += other.count;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

/// Values over time, for a plot: as many spans as it has room for, over a session of any length. When the room ends,
/// the spans double and neighbours merge, so that sums, extremes and counts stay exact. Recording never allocates.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Series {
    /// Microseconds of one span.
    span: u64,
    /// Those spans that have a value, in order of time; so many at most.
    samples: Vec<Sample>,
    #[serde(skip)]
    room: usize,
    /// Values that were not numbers, and not recorded.
    refused: u64,
}

impl Series {
    /// Room for `capacity` spans (at least two) of `span` microseconds (at least one) at first.
    pub fn new(span: u64, capacity: usize) -> Self {
        let room = capacity.max(2);
        Self { span: span.max(1), samples: Vec::with_capacity(room), room, refused: 0 }
    }

    /// Records `value` at `now`. A time before the latest span counts into the latest.
    pub fn record(&mut self, now: Time, value: f64) {
        if !value.is_finite() {
            self.refused += 1;
            return;
        }
        let mut sample = Sample { at: self.start(now), count: 1, sum: value, min: value, max: value };
        if let Some(last) = self.samples.last_mut()
            && sample.at <= last.at
        {
            last.absorb(&sample);
            return;
        }
        while self.samples.len() >= self.room {
            self.halve();
            sample.at = self.start(now);
        }
        match self.samples.last_mut() {
            Some(last) if sample.at <= last.at => last.absorb(&sample),
            _ => self.samples.push(sample),
        }
    }

    /// Microseconds of one span now.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// The spans that have a value, in order of time.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Values that were not numbers, and not recorded.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn start(&self, now: Time) -> Time {
        Time(now.0 - now.0 % self.span)
    }

    fn halve(&mut self) {
        self.span = self.span.saturating_mul(2);
        let span = self.span;
        self.samples.iter_mut().for_each(|sample| sample.at.0 -= sample.at.0 % span);
        self.samples.dedup_by(|next, kept| {
            let same = next.at == kept.at;
            if same {
                kept.absorb(next);
            }
            same
        });
    }
}

/// The longest duration told apart, in microseconds: a minute.
const LONGEST: u64 = 60_000_000;

/// Counts below 2^32, durations to three digits: 70 kB.
fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are constants that the crate accepts")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_the_gpu_has_a_row_of_its_own() {
        let mut stats = StageStats::new();
        let mut ledger = Ledger::default();
        ledger.stamp(Stage::Capture, Time(0));
        ledger.stamp(Stage::Convert, Time(900));
        stats.record(&ledger);
        assert_eq!(stats.latency().convert_gpu, None);
        ledger.stamp_gpu(Stage::Convert, 700);
        stats.record(&ledger);
        let rows: Vec<_> = stats.latency().rows().map(|(name, p)| (name, p.p50, p.count)).collect();
        assert_eq!(rows, [("convert", 900, 2), ("convert_gpu", 700, 1)]);
    }

    #[test]
    fn percentiles_come_out_per_stage_and_for_the_whole_way() {
        let mut stats = StageStats::new();
        for us in 1..=100 {
            let mut ledger = Ledger::default();
            ledger.stamp(Stage::Capture, Time(1000));
            ledger.stamp(Stage::Encode, Time(1000 + us));
            ledger.stamp(Stage::Render, Time(1000 + 2 * us));
            stats.record(&ledger);
        }
        let latency = stats.latency();
        let encode = Percentiles { p50: 50, p95: 95, p99: 99, max: 100, count: 100 };
        assert_eq!(latency.stage(Stage::Encode), Some(encode));
        assert_eq!(latency.total.map(|total| (total.p50, total.max)), Some((100, 200)));
        assert_eq!(latency.stage(Stage::Seal), None);
        let json = serde_json::to_string(&latency).unwrap();
        let expected = r#"{"encode":{"p50":50,"p95":95,"p99":99,"max":100,"count":100},"render":{"p50":50,"#;
        assert!(json.starts_with(expected), "{json}");
        assert!(json.contains(r#""total":{"p50":100,"#) && !json.contains("seal"), "{json}");
    }

    #[test]
    fn a_duration_beyond_the_bounds_counts_as_the_longest() {
        let mut stats = StageStats::new();
        stats.record_stage(Stage::Send, u64::MAX);
        stats.record_stage(Stage::Send, 0);
        let send = stats.latency().stage(Stage::Send).unwrap();
        assert_eq!(send.count, 2);
        assert!(send.max >= LONGEST && send.max < LONGEST * 2, "{send:?}");
    }

    #[test]
    fn the_halves_of_the_path_merge() {
        let (mut here, mut there) = (StageStats::new(), StageStats::new());
        here.record_stage(Stage::Seal, 10);
        there.record_stage(Stage::Open, 20);
        there.record_stage(Stage::Seal, 30);
        here.merge(&there);
        let latency = here.latency();
        assert_eq!(latency.stage(Stage::Seal).map(|seal| (seal.count, seal.max)), Some((2, 30)));
        assert_eq!(latency.rows().map(|(name, _)| name).collect::<Vec<_>>(), ["seal", "open"]);
    }

    #[test]
    fn drops_are_named_by_cause() {
        let mut drops = Drops::default();
        drops.count(Cause::Late);
        drops.add(Cause::Tampered, 4);
        let mut sum = drops;
        sum.merge(&drops);
        assert_eq!((sum.of(Cause::Late), sum.of(Cause::Tampered), sum.total()), (2, 8, 10));
        let json: serde_json::Value = serde_json::to_value(sum).unwrap();
        assert_eq!(json.as_object().unwrap().len(), CAUSES);
        assert_eq!((&json["late"], &json["no_key"]), (&2.into(), &0.into()));
        assert!(Cause::ALL.iter().enumerate().all(|(i, cause)| *cause as usize == i));
    }

    #[test]
    fn a_series_keeps_its_size_and_its_sums() {
        let mut series = Series::new(10, 4);
        let room = series.samples.capacity();
        for i in 0..1000 {
            series.record(Time(i * 10), i as f64);
        }
        assert_eq!(series.samples.capacity(), room);
        assert!(series.samples().len() >= room / 2 && series.samples().len() <= room);
        let sum: f64 = series.samples().iter().map(|sample| sample.sum).sum();
        let count: u64 = series.samples().iter().map(|sample| sample.count).sum();
        assert_eq!((sum, count), (999.0 * 500.0, 1000));
        assert!(series.samples().windows(2).all(|two| two[0].at < two[1].at && two[0].max < two[1].min));
        // A copy has as much room.
        for mut copy in [Series::new(10, 4).clone(), series.clone()] {
            (2_000..3_000).for_each(|i| copy.record(Time(i * 10), 1.0));
            assert!((2..=4).contains(&copy.samples().len()));
        }
    }

    #[test]
    fn a_series_takes_any_time_and_any_value() {
        let mut series = Series::new(0, 0);
        for at in [0, u64::MAX, 5, u64::MAX - 1, 1 << 40] {
            series.record(Time(at), 1.0);
        }
        series.record(Time(7), f64::NAN);
        assert_eq!(series.refused(), 1);
        assert_eq!(series.samples().iter().map(|sample| sample.count).sum::<u64>(), 5);
        assert!(series.samples().len() <= 2);
    }
}
