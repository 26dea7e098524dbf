//! Before the genuine Welcome others come that name the same key package: damaged ones, and one to another meeting.

use conclave::e2ee::group::wire::Envelope;
use conclave::e2ee::group::{Config, Device, Group, GroupError, Joining, Output};
use conclave::time::Time;

const NOW: Time = Time::from_ms(1000);

/// A Welcome for whoever made `knock`, into a new group of `config`.
fn welcome(config: Config, knock: &[u8]) -> Vec<u8> {
    let mut host = Group::create(&Device::generate("host").unwrap(), config, Time(0)).unwrap();
    host.admit(&knock[1..], Time(0)).unwrap();
    host.tick(NOW);
    let mut messages = vec![];
    while let Some(output) = host.poll() {
        let Output::Send(message) = output else { continue };
        if matches!(Envelope::decode(&message), Ok(Envelope::Handshake { .. })) {
            host.handle(&message, NOW).unwrap();
        }
        messages.push(message);
    }
    messages.into_iter().find(|one| matches!(Envelope::decode(one), Ok(Envelope::Welcome { .. }))).unwrap()
}

#[test]
fn they_keep_nobody_out() {
    let config = Config::new(b"meeting").classical();
    let (mut joining, knock) = Joining::new(&Device::generate("guest").unwrap(), config.clone()).unwrap();
    let genuine = welcome(config.clone(), &knock);
    let body = genuine.len() - 64;
    let mut refused = 0;
    for place in (35..body).step_by(7).chain(body..genuine.len()) {
        let mut other = genuine.clone();
        other[place] ^= 1;
        refused += u32::from(joining.handle(&other, NOW).is_err());
    }
    assert!(refused > 100, "{refused}");
    let elsewhere = welcome(Config::new(b"another").classical(), &knock);
    assert_eq!(joining.handle(&elsewhere, NOW).err(), Some(GroupError::Mismatch("group")));
    let group = joining.handle(&genuine, NOW).unwrap().expect("the genuine one leads in");
    assert_eq!(group.roster().len(), 2);
}
