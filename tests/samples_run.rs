//! Each sample that shows how to embed the engine runs to its end.

#[path = "../samples/embed_1_send_receive.rs"]
mod send_receive;

#[path = "../samples/embed_2_drive.rs"]
mod drive;

#[path = "../samples/embed_3_encoded.rs"]
mod encoded;

#[path = "../samples/embed_4_keys.rs"]
mod keys;

#[path = "../samples/embed_5_transport.rs"]
mod transport;

#[path = "../samples/embed_6_meeting.rs"]
mod meeting;

#[test]
fn each_sample_ends_well() {
    send_receive::main().unwrap();
    drive::main().unwrap();
    encoded::main().unwrap();
    keys::main().unwrap();
    transport::main().unwrap();
    meeting::main().unwrap();
}
