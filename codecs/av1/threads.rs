//! Rows of independent work over the threads of one encoder.

use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

/// The threads of one encoder; the caller's own where there is one only.
pub struct Threads(Option<rayon::ThreadPool>);

impl Threads {
    /// So many threads; where the system gives none, the caller's own does the work.
    pub fn new(count: usize) -> Self {
        let build =
            || rayon::ThreadPoolBuilder::new().num_threads(count).thread_name(|i| format!("av1 {i}")).build().ok();
        Self(if count > 1 { build() } else { None })
    }

    /// Calls `work` with the number of each row of `cols` items, and the row. No row sees what another writes.
    pub fn rows<T: Send>(&self, items: &mut [T], cols: usize, work: impl Fn(usize, &mut [T]) + Sync) {
        match &self.0 {
            None => items.chunks_mut(cols).enumerate().for_each(|(row, items)| work(row, items)),
            Some(pool) => {
                pool.install(|| items.par_chunks_mut(cols).enumerate().for_each(|(row, items)| work(row, items)));
            }
        }
    }
}
