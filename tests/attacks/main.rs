//! What a malicious member or relay does, one file per attack, named after it.

#[path = "../support/group.rs"]
#[allow(dead_code)]
mod table;

#[path = "../support/epochs.rs"]
mod epochs;
#[path = "../support/people.rs"]
#[allow(dead_code)]
mod people;

#[path = "../support/code.rs"]
mod codes;
mod hostile;

mod a_commit_it_may_not_make;
mod a_fake_member;
mod a_flood_of_commits;
mod a_forged_host_action;
mod a_hidden_leave;
mod a_later_epoch_that_is_none;
mod a_partition;
mod a_policy_bit;
mod a_relay_that_holds_back_commits;
mod a_renamed_user;
mod a_stale_heartbeat;
mod a_suite_downgrade;
mod a_swapped_key_package;
mod a_withheld_lock;
mod an_epoch_kept_alive;
mod another_members_key_id;
mod counter_far_ahead;
mod counter_of_proofs_far_ahead;
mod delayed_proofs;
mod edited_welcomes;
mod equivocating_proofs;
mod forged_frame_before_the_genuine_one;
mod forged_frames_where_each_waits;
mod media_of_a_recorder;
mod meeting;
mod replay_of_anothers_frame;
mod replayed_control_messages;
mod split_keys_under_one_key_id;
mod tag_collision;
mod trial_decryption;
