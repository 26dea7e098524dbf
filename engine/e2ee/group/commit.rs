//! Building commits from requests, and reading what the library makes of those that come.

use openmls::prelude::{
    Extension, Extensions, GroupContext, KeyPackage, LeafNodeIndex, MlsGroup, MlsMessageBodyIn, MlsMessageIn,
    OpenMlsProvider, Proposal, ProtocolVersion, QueuedProposal, Sender, StagedCommit, UnknownExtension,
    tls_codec::Deserialize,
};

use super::GroupError;
use super::arrivals::Arrivals;
use super::config::policy_of;
use super::event::Request;
use super::identity::{Device, Person};
use super::knocks::{Used, name};
use super::node_keys::NodeKeys;
use super::policy::{EnginePolicy, POLICY_EXTENSION};
use super::provider::Provider;
use super::rules::{Author, Change, Illegal, Proposed, State, Verdict, judge};
use super::wire::{Envelope, HANDSHAKE_FRONT, MAX_KEY_PACKAGE, MAX_MESSAGE, Ticket};
use crate::e2ee::{Member, Roster};

/// A commit of this member that is on its way to the relay and back.
pub(crate) struct Pending {
    pub(crate) body: Vec<u8>,
    pub(crate) welcome: Option<Vec<u8>>,
    pub(crate) requests: Vec<Asked>,
    pub(crate) verdict: Verdict,
    pub(crate) sent: crate::time::Time,
    pub(crate) made: crate::time::Time,
    /// Whether its author knows that it is kept back.
    pub(crate) told: bool,
}

/// A request and the roster that the host saw.
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) seen: [u8; 32],
    pub(crate) at: crate::time::Time,
}

/// A key package that the library verified, and who it is of.
///
/// # Errors
/// [`GroupError::KeyPackage`] where it is none or longer than [`MAX_KEY_PACKAGE`], and [`GroupError::Leaf`].
pub(crate) fn read_key_package(provider: &Provider, bytes: &[u8]) -> Result<(KeyPackage, Person), GroupError> {
    if bytes.len() > MAX_KEY_PACKAGE {
        return Err(GroupError::KeyPackage);
    }
    let message = MlsMessageIn::tls_deserialize_exact(bytes).map_err(|_| GroupError::KeyPackage)?;
    let MlsMessageBodyIn::KeyPackage(package) = message.extract() else { return Err(GroupError::KeyPackage) };
    let package =
        package.validate(provider.crypto(), ProtocolVersion::default()).map_err(|_| GroupError::KeyPackage)?;
    let person = Person::of(package.leaf_node())?;
    Ok((package, person))
}

/// What the rules look at in a proposal. `context` is the group context's extensions before the commit.
pub(crate) fn proposed(proposal: &QueuedProposal, context: &Extensions<GroupContext>) -> Proposed {
    let by = match proposal.sender() {
        Sender::Member(leaf) => Author::Leaf(leaf.u32()),
        Sender::External(_) => Author::Relay,
        Sender::NewMemberProposal | Sender::NewMemberCommit => Author::Stranger,
    };
    let change = match proposal.proposal() {
        Proposal::Add(add) => {
            let package = add.key_package();
            Change::Add { person: Person::of(package.leaf_node()), last_resort: package.last_resort() }
        }
        Proposal::Remove(remove) => Change::Remove(remove.removed().u32()),
        Proposal::Update(update) => Change::Update(Person::of(update.leaf_node())),
        Proposal::GroupContextExtensions(new) => {
            let new = new.extensions();
            let rest = |all: &Extensions<GroupContext>| {
                let rest = |one: &&Extension| one.extension_type() != policy_type();
                all.iter().filter(rest).cloned().collect::<Vec<_>>()
            };
            Change::Policy(policy_of(new).map(Box::new), rest(new) == rest(context))
        }
        _ => Change::Other,
    };
    Proposed { by, change }
}

fn policy_type() -> openmls::prelude::ExtensionType {
    openmls::prelude::ExtensionType::Unknown(POLICY_EXTENSION)
}

/// Applies the table to a commit that the library has verified.
pub(crate) fn judge_staged(
    state: &State,
    committer: u32,
    staged: &StagedCommit,
    context: &Extensions<GroupContext>,
    keys: &NodeKeys,
) -> Result<Verdict, Illegal> {
    keys.judge(staged)?;
    let proposals: Vec<_> = staged.queued_proposals().map(|proposal| proposed(proposal, context)).collect();
    let path = staged.update_path_leaf_node().map(Person::of);
    let verdict = judge(state, committer, &proposals, path.as_ref())?;
    // What the rules computed is what the library is about to install.
    match policy_of(staged.group_context().extensions()) {
        Some(policy) if policy == verdict.after.policy => Ok(verdict),
        Some(_) => Err(Illegal::Fixed),
        None => Err(Illegal::Unreadable),
    }
}

/// What a batch of requests asks of one commit.
#[derive(Default)]
struct Plan {
    adds: Vec<KeyPackage>,
    tickets: Vec<Ticket>,
    removals: Vec<u16>,
    locks: bool,
    policy: Option<EnginePolicy>,
}

impl Plan {
    /// `going` are the leaves that others' proposals take out in the same commit.
    fn of(requests: &[Asked], state: &State, going: &[u16], provider: &Provider, used: &Used) -> Result<Self, Illegal> {
        let mut plan = Plan::default();
        let (mut policy, mut kicked) = (state.policy.clone(), vec![]);
        for Asked { request, .. } in requests {
            match request {
                Request::Admit { key_package, ticket } => {
                    let Ok((package, person)) = read_key_package(provider, key_package) else {
                        return Err(Illegal::Leaf(super::identity::LeafError::Credential));
                    };
                    // It has led in since this was asked for, by another host or by a knock that came twice.
                    if used.contains(&package) {
                        continue;
                    }
                    // A rejoin: the former self goes in the same commit.
                    plan.remove(&state.roster, &person.identity);
                    plan.adds.push(package);
                    plan.tickets.push(*ticket);
                }
                Request::Remove { identity, .. } => {
                    plan.remove(&state.roster, identity);
                    plan.forget(identity);
                    kicked.push(identity);
                }
                Request::Lock => plan.locks = true,
                Request::Unlock => (plan.locks, policy.lock) = (false, None),
                Request::Role { identity, role } => policy.set_role(*identity, *role),
                Request::Policy { recorder_allowed, leaver_window_ms, roster_limit, meeting_policy } => {
                    policy.recorder_allowed = *recorder_allowed;
                    policy.leaver_window_ms = *leaver_window_ms;
                    policy.roster_limit = *roster_limit;
                    policy.meeting_policy = *meeting_policy;
                }
                Request::Renew => {}
            }
        }
        if plan.locks {
            // Who goes with this commit is not there any more: a lock that named it would not be allowed.
            let stays = |member: &&Member| {
                let back = |package: &KeyPackage| *package.leaf_node().signature_key().as_slice() == member.identity.0;
                let goes = going.contains(&member.leaf) || plan.removals.contains(&member.leaf);
                !goes || plan.adds.iter().any(back)
            };
            policy.lock = Some(state.roster.iter().filter(stays).map(|member| member.identity).collect());
        }
        kicked.into_iter().for_each(|identity| policy.put_out(identity));
        plan.policy = (policy != state.policy).then_some(policy);
        Ok(plan)
    }

    fn remove(&mut self, roster: &Roster, identity: &crate::e2ee::IdentityKey) {
        if let Some(member) = roster.find(identity).filter(|member| !self.removals.contains(&member.leaf)) {
            self.removals.push(member.leaf);
        }
    }

    /// Whoever was to come in before a host put it out does not: the later word counts.
    fn forget(&mut self, identity: &crate::e2ee::IdentityKey) {
        let others = |package: &KeyPackage| *package.leaf_node().signature_key().as_slice() != identity.0;
        let all = std::mem::take(&mut self.adds).into_iter().zip(std::mem::take(&mut self.tickets));
        (self.adds, self.tickets) = all.filter(|(package, _)| others(package)).unzip();
    }
}

/// Why a commit was not made.
pub(crate) enum NotMade {
    Illegal(Illegal),
    Library,
}

/// What a commit is made with.
pub(crate) struct Bench<'a> {
    pub(crate) mls: &'a mut MlsGroup,
    pub(crate) provider: &'a Provider,
    pub(crate) device: &'a Device,
    pub(crate) state: &'a State,
    /// Key packages that have led in.
    pub(crate) used: &'a Used,
    pub(crate) keys: &'a NodeKeys,
}

/// A commit that the library holds as its pending one.
struct Made {
    body: Vec<u8>,
    welcome: Option<Vec<u8>>,
    verdict: Verdict,
}

/// Builds a commit of `requests` and of everything legal that was proposed. It is the library's pending one after that.
pub(crate) fn build(
    mut bench: Bench<'_>,
    requests: Vec<Asked>,
    now: crate::time::Time,
) -> Result<Pending, (NotMade, Vec<Asked>)> {
    let made = match bench.attempt(&requests, true) {
        // Nobody's renewal keeps the others from committing, whatever is wrong with it.
        Err(NotMade::Library) => bench.attempt(&requests, false),
        made => made,
    };
    match made {
        Ok(Made { body, welcome, verdict }) => {
            Ok(Pending { body, welcome, requests, verdict, sent: now, made: now, told: false })
        }
        Err(why) => Err((why, requests)),
    }
}

impl Bench<'_> {
    /// Makes a commit, with what others proposed to renew or without it.
    fn attempt(&mut self, requests: &[Asked], renewals: bool) -> Result<Made, NotMade> {
        let Self { mls, provider, device, state, used, keys } = self;
        let own = mls.own_leaf_index().u32();
        let context = mls.extensions().clone();
        let takes = |proposal: &QueuedProposal| {
            let what = proposed(proposal, &context);
            let update = matches!(what.change, Change::Update(_));
            let own_removal = matches!(what.change, Change::Remove(leaf) if leaf == own);
            // What stands here by this member's own request is judged as a whole below, for its reason.
            let requested = matches!(what.by, Author::Leaf(leaf) if leaf == own) && !update;
            // Who comes in and what is agreed another host commits itself: this one was not asked about it, and its
            // lock would be one of people whom it did not see.
            let others = !matches!(what.change, Change::Add { .. } | Change::Policy(..));
            let legal = || (renewals || !update) && state.permits(&what, own).is_ok() && keys.allow(proposal);
            !own_removal && (requested || others && legal())
        };
        let going: Vec<u16> = mls.pending_proposals().filter(|proposal| takes(proposal)).filter_map(removed).collect();
        let plan = Plan::of(requests, state, &going, provider, used).map_err(NotMade::Illegal)?;
        let arrivals = arrivals(state, used, &plan.adds);
        let made = stage(mls, provider, device, arrivals, plan, &context, takes);
        let verdict = mls.pending_commit().map(|staged| judge_staged(state, own, staged, &context, keys));
        let why = match (made, verdict) {
            (Some((body, welcome)), Some(Ok(verdict))) if fits(&body, welcome.as_deref()) => {
                return Ok(Made { body, welcome, verdict });
            }
            (Some(_), Some(Ok(_))) => NotMade::Illegal(Illegal::TooLong),
            (_, Some(Err(why))) => NotMade::Illegal(why),
            _ => NotMade::Library,
        };
        let cleared = mls.clear_pending_commit(provider.storage());
        Err(if cleared.is_ok() { why } else { NotMade::Library })
    }
}

/// Who is there since when, and by which key packages, as those who come with `adds` are told.
fn arrivals(state: &State, used: &Used, adds: &[KeyPackage]) -> Arrivals {
    let mut arrivals = Arrivals::of(&state.roster, used.names());
    for package in adds {
        if let Ok(person) = Person::of(package.leaf_node()) {
            arrivals.comes(&person.identity, name(package));
        }
    }
    arrivals
}

/// Has the library make a commit of `plan` and of what it `takes`: the commit, and the envelope of its Welcome.
fn stage(
    mls: &mut MlsGroup,
    provider: &Provider,
    device: &Device,
    arrivals: Arrivals,
    plan: Plan,
    context: &Extensions<GroupContext>,
    takes: impl Fn(&QueuedProposal) -> bool,
) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let comes = !plan.adds.is_empty();
    let mut builder = mls
        .commit_builder()
        .consume_proposal_store(true)
        .force_self_update(true)
        .propose_removals(plan.removals.iter().map(|leaf| LeafNodeIndex::new(u32::from(*leaf))))
        .propose_adds(plan.adds);
    if let Some(policy) = &plan.policy {
        let mut new = context.clone();
        let policy = Extension::Unknown(POLICY_EXTENSION, UnknownExtension(policy.encode()));
        replace(&mut new, policy).ok()?;
        builder = builder.propose_group_context_extensions(new).ok()?;
    }
    let mut builder = builder.load_psks(provider.storage()).ok()?;
    if comes {
        let told = builder.create_group_info_with_extensions([arrivals.extension()]).ok()?;
        // In the Welcome alone.
        builder = told.create_group_info(false);
    }
    let builder = builder.build(provider.rand(), provider.crypto(), device, takes).ok()?;
    let bundle = builder.stage_commit(provider).ok()?;
    let body = bundle.commit().to_bytes().ok()?;
    let welcome = match bundle.to_welcome_msg() {
        Some(welcome) => Some(Envelope::Welcome { to: plan.tickets, body: &welcome.to_bytes().ok()? }.encode()),
        None => None,
    };
    Some((body, welcome))
}

/// Whether the relay and everybody else take a commit and its Welcome.
fn fits(body: &[u8], welcome: Option<&[u8]>) -> bool {
    HANDSHAKE_FRONT + body.len() <= MAX_MESSAGE && welcome.is_none_or(|welcome| welcome.len() <= MAX_MESSAGE)
}

/// The leaf that a proposal takes out.
fn removed(proposal: &QueuedProposal) -> Option<u16> {
    match proposal.proposal() {
        Proposal::Remove(remove) => u16::try_from(remove.removed().u32()).ok(),
        _ => None,
    }
}

/// Puts `new` where its former value stands: the order of the extensions is part of the context.
fn replace(all: &mut Extensions<GroupContext>, new: Extension) -> Result<(), GroupError> {
    let list = all.iter().map(|one| if one.extension_type() == policy_type() { &new } else { one }).cloned();
    *all = Extensions::from_vec(list.collect()).map_err(|_| GroupError::Config)?;
    Ok(())
}
