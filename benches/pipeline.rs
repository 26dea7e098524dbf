//! A whole meeting in virtual time, from the camera to the screen through a network that loses 2 % of the packets:
//! pictures that one core carries in a second. With doubles for the codecs what is measured is the engine, which copies
//! a picture three times and seals, cuts, joins and opens it; with our encoder and dav1d the codecs outweigh all the rest.

#[path = "../samples/cli/src/bench/meeting.rs"]
mod meeting;

use conclave::codecs::Size;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use meeting::{Codecs, play};

criterion_group!(benches, pipeline);
criterion_main!(benches);

fn pipeline(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipeline");
    let cases = [
        ("doubles 320x180", Codecs::Doubles, Size::new(320, 180), 150),
        ("cpu and dav1d 160x90", Codecs::Real, Size::new(160, 90), 15),
    ];
    for (name, codecs, size, frames) in cases {
        group.throughput(Throughput::Elements(frames)).sample_size(10);
        let open = || meeting::meeting(codecs, size, frames).expect("the meeting opens");
        group.bench_function(name, |bencher| {
            bencher.iter_batched(open, |meeting| play(meeting).expect("it ends"), BatchSize::PerIteration);
        });
    }
}
