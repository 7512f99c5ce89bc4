//! The rules: what the counts of a run must be, given what the broker knows.
//!
//! The broker cannot know which of two subscribers a connection belongs to. So the rule for subscribers is that there is a
//! way to share out the connections among them that explains all of their counts: one at a time each, the next one opened
//! after the one before was broken.

use std::collections::{BTreeMap, BTreeSet};

use natsbench::results::outages::{Outage, Role};
use natsbench::results::{Ended, Load, RunResult, SubscriberLoad};

use super::schedule::Schedule;
use crate::harness::{Ledger, MessageKey, Tally};

/// Messages of measured phases, by their place among all that was accepted.
type Messages = BTreeSet<usize>;

/// What went over one connection with subscriptions.
#[derive(Debug, Default)]
struct Delivered {
    connection: u64,
    /// Handed to the connection.
    all: Messages,
    n_copies: u64,
    /// Known to have been read.
    confirmed: Messages,
    n_confirmed_copies: u64,
}

/// The counts of a run beside those of the broker.
pub(super) struct Books<'a> {
    schedule: &'a Schedule,
    result: &'a RunResult,
    ledger: &'a Ledger,
    delivered: Vec<Delivered>,
}

/// Fails with what was compared.
macro_rules! rule {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

impl<'a> Books<'a> {
    pub(super) fn new(schedule: &'a Schedule, result: &'a RunResult, ledger: &'a Ledger) -> Self {
        Self {
            schedule,
            result,
            ledger,
            delivered: delivered_by_connection(ledger),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.rounds_add_up()
            .and_then(|()| self.deliveries_add_up())
            .and_then(|()| self.streams_add_up())
            .and_then(|()| self.doubts_are_just())
            .and_then(|()| self.outages_are_those_of_the_broker())
            .and_then(|()| self.losses_are_explained())
            .and_then(|()| self.deliveries_are_those_of_the_broker())
            .map_err(|failure| {
                let (load, outages) = (&self.result.load, &self.result.outages);
                format!(
                    "{failure}\nended: {:?}; {load:?}\n{outages:?}\n broken: {:?}; sources: {:?}",
                    self.result.ended, self.ledger.broken, self.ledger.sources
                )
            })
    }

    fn load(&self) -> &Load {
        &self.result.load
    }

    fn n_subscribers(&self) -> u64 {
        u64::from(self.schedule.n_subscribers)
    }

    fn n_sent(&self) -> u64 {
        self.load().sent.unwrap_or(0)
    }

    /// Messages that the broker has processed: it may have lost them since, but nobody is in doubt about them.
    fn n_processed(&self) -> u64 {
        self.ledger.accepted.n_measured() - self.ledger.unprocessed.n_measured()
    }

    /// What was planned was sent, skipped, or not sent; what the broker has was sent, and sent once.
    fn rounds_add_up(&self) -> Result<(), String> {
        let load = self.load();
        let count = |count: Option<u64>| count.unwrap_or(0);
        let planned = count(load.planned);
        let parts = self.n_sent() + count(load.skipped) + count(load.not_sent);
        rule!(planned == parts, "planned {planned}, accounted for {parts}");
        let per_round = u64::from(self.schedule.route.subjects_per_round());
        let scheduled = self.schedule.n_rounds * per_round;
        rule!(planned <= scheduled, "planned {planned} of {scheduled}");
        // A run ends early when nobody is left.
        let is_whole = self.result.ended == Ended::Completed;
        rule!(
            planned == scheduled || !is_whole,
            "planned {planned} of {scheduled} in a run that was completed"
        );
        let accepted = &self.ledger.accepted;
        let (n_accepted, n_twice) = (accepted.n_measured(), accepted.n_duplicates());
        rule!(
            n_accepted <= self.n_sent(),
            "the broker has {n_accepted} messages, more than were sent"
        );
        rule!(n_twice == 0, "{n_twice} messages were published twice");
        Ok(())
    }

    /// What was expected was received, lost, or is in doubt.
    fn deliveries_add_up(&self) -> Result<(), String> {
        let load = self.load();
        let expected = load.expected.unwrap_or(0);
        let due = self.n_sent() * self.n_subscribers();
        rule!(expected == due, "expected {expected}, and {due} were due");
        let parts = load.received + load.lost.unwrap_or(0) + load.in_doubt.unwrap_or(0);
        rule!(
            expected == parts,
            "expected {expected}, accounted for {parts}"
        );
        let n_listed = load.subscribers.len() as u64;
        rule!(
            n_listed == self.n_subscribers(),
            "{n_listed} subscribers are listed"
        );
        for one in &load.subscribers {
            let parts = one.received + one.lost + one.in_doubt;
            rule!(one.expected == Some(parts), "it does not add up: {one:?}");
        }
        let sum =
            |count: fn(&SubscriberLoad) -> u64| load.subscribers.iter().map(count).sum::<u64>();
        for (name, all, of_each) in [
            ("received", load.received, sum(|one| one.received)),
            ("lost", load.lost.unwrap_or(0), sum(|one| one.lost)),
            (
                "in doubt",
                load.in_doubt.unwrap_or(0),
                sum(|one| one.in_doubt),
            ),
            ("duplicated", load.duplicated, sum(|one| one.duplicated)),
        ] {
            rule!(all == of_each, "{name}: {all} in all, {of_each} of each");
        }
        let latency = self.result.latency.as_ref();
        let n_recorded = latency
            .and_then(|latency| latency.response.as_ref())
            .map_or(0, |response| response.count);
        rule!(
            n_recorded == load.received,
            "{n_recorded} latencies of {} received",
            load.received
        );
        Ok(())
    }

    /// The same by stream, and for each publisher what the broker has of it was sent by it.
    fn streams_add_up(&self) -> Result<(), String> {
        let mut sent_by: BTreeMap<u64, u64> = BTreeMap::new();
        for stream in &self.load().streams {
            let sent = stream.sent.unwrap_or(0);
            *sent_by.entry(u64::from(stream.publisher)).or_default() += sent;
            let due = sent * self.n_subscribers();
            rule!(
                stream.expected == Some(due),
                "expected of a stream: {stream:?}"
            );
            let parts = stream.received + stream.lost.unwrap_or(0) + stream.in_doubt.unwrap_or(0);
            rule!(parts == due, "a stream does not add up: {stream:?}");
        }
        let n_sent: u64 = sent_by.values().sum();
        rule!(
            n_sent == self.n_sent(),
            "streams sent {n_sent}, the run {}",
            self.n_sent()
        );
        let mut accepted_of: BTreeMap<u64, u64> = BTreeMap::new();
        for (key, _) in self.ledger.accepted.measured() {
            *accepted_of.entry(key.publisher).or_default() += 1;
        }
        for (publisher, n_accepted) in accepted_of {
            let n_sent = sent_by.get(&publisher).copied().unwrap_or(0);
            rule!(
                n_accepted <= n_sent,
                "publisher {publisher} sent {n_sent}, the broker has {n_accepted}"
            );
        }
        Ok(())
    }

    /// What never was with the broker is in doubt, and not lost for certain. What the broker has confirmed is not in doubt,
    /// where the confirmation came over a connection that it has broken: everything before its end was read.
    fn doubts_are_just(&self) -> Result<(), String> {
        let n_sent = self.n_sent();
        let least = n_sent - self.n_processed();
        let unconfirmed = self.ledger.sources.iter().map(|(connection, source)| {
            let is_sure = self.is_read_to_its_end(*connection);
            source.n_accepted - if is_sure { source.n_acknowledged } else { 0 }
        });
        let most = n_sent - self.ledger.accepted.n_measured() + unconfirmed.sum::<u64>();
        for one in &self.load().subscribers {
            rule!(
                one.in_doubt >= least,
                "{least} messages never reached the broker, and some count as lost for certain: {one:?}"
            );
            rule!(
                one.in_doubt <= most,
                "no more than {most} messages can be in doubt: {one:?}"
            );
        }
        Ok(())
    }

    /// Whether a publisher has surely read all that the broker had said when it broke this connection: it has gone on over
    /// another one. When a run ends, a broken connection need not have been noticed.
    fn is_read_to_its_end(&self, connection: u64) -> bool {
        let sources = &self.ledger.sources;
        let publishers = &sources[&connection].publishers;
        let mut later = sources.range(connection + 1..);
        self.ledger.broken.contains_key(&connection)
            && !self.schedule.has_silence()
            && later.any(|(_, source)| source.publishers == *publishers)
    }

    /// Every outage is a connection that the broker broke. One that was broken is an outage if its client came back; when the
    /// run has ended meanwhile, it need not have noticed.
    fn outages_are_those_of_the_broker(&self) -> Result<(), String> {
        let outages = &self.result.outages;
        let n_listed = outages.len() as u64;
        rule!(
            self.result.n_outages == n_listed,
            "{n_listed} of {} outages",
            self.result.n_outages
        );
        let is_broken = |connection: &u64| self.ledger.broken.contains_key(connection);
        let n_of = |role| outages.iter().filter(|outage| outage.role == role).count() as u64;
        let connections = self.delivered.iter().map(|one| one.connection);
        let n_connections = self.delivered.len() as u64;
        let most = connections.filter(is_broken).count() as u64;
        let least = n_connections.saturating_sub(self.n_subscribers());
        self.outages_are_between("subscriber", n_of(Role::Subscriber), least, most)?;
        let sources = &self.ledger.sources;
        let publishers: BTreeSet<&u64> = sources
            .values()
            .flat_map(|source| &source.publishers)
            .collect();
        let most = sources
            .keys()
            .filter(|connection| is_broken(connection))
            .count() as u64;
        let least = (sources.len() - publishers.len()) as u64;
        self.outages_are_between("publisher", n_of(Role::Publisher), least, most)?;
        let skipped: u64 = outages.iter().filter_map(|outage| outage.skipped).sum();
        // Those of the warm-up count for nothing else.
        let is_known = self.schedule.n_warmup_rounds == 0;
        rule!(
            !is_known || Some(skipped) <= self.load().skipped,
            "{skipped} skipped by outages"
        );
        Ok(())
    }

    /// Every subscriber had read what there was, the end of broken connections included, when the run ended.
    fn is_drained(&self) -> bool {
        let is_broken = |one: &&Delivered| self.ledger.broken.contains_key(&one.connection);
        let n_broken = self.delivered.iter().filter(is_broken).count();
        let outages = self.result.outages.iter();
        let n_noticed = outages.filter(|one| one.role == Role::Subscriber).count();
        let mut kept = self.delivered.iter().filter(|one| !is_broken(one));
        self.ledger.n_late == 0
            && n_noticed == n_broken
            && kept.all(|one| one.n_copies == one.n_confirmed_copies)
    }

    /// What a subscriber has lost, its outages have cost, where nothing else loses messages.
    fn losses_are_explained(&self) -> Result<(), String> {
        let is_subscriber = |outage: &&Outage| outage.role == Role::Subscriber;
        for one in &self.load().subscribers {
            let outages = self.result.outages.iter().filter(is_subscriber);
            let own = outages.filter(|outage| outage.idx == one.idx);
            let costs: Vec<Option<u64>> = own.map(|outage| outage.lost).collect();
            rule!(
                costs.iter().all(Option::is_some),
                "an outage of a subscriber has no cost: {costs:?}"
            );
            let cost: u64 = costs.into_iter().flatten().sum();
            rule!(cost <= one.lost, "outages have cost {cost}: {one:?}");
            rule!(
                cost == one.lost || self.schedule.has_other_losses() || !self.is_drained(),
                "outages have cost no more than {cost}: {one:?}"
            );
        }
        Ok(())
    }

    fn outages_are_between(&self, role: &str, n: u64, least: u64, most: u64) -> Result<(), String> {
        let is_few = n <= most || self.schedule.has_silence();
        rule!(
            n >= least && is_few,
            "{n} outages of a {role}, from {least} to {most} were to be"
        );
        Ok(())
    }

    /// The connections can be shared out among the subscribers.
    fn deliveries_are_those_of_the_broker(&self) -> Result<(), String> {
        let mut shares = vec![Vec::new(); self.load().subscribers.len()];
        rule!(
            self.share_out(0, &mut shares),
            "what the subscribers count is not what they were delivered: {:#?}",
            self.delivered
                .iter()
                .map(|one| format!(
                    "connection {}: {} delivered in {} copies, {} confirmed in {} copies",
                    one.connection,
                    one.all.len(),
                    one.n_copies,
                    one.confirmed.len(),
                    one.n_confirmed_copies
                ))
                .collect::<Vec<_>>()
        );
        Ok(())
    }

    /// Gives connection `next` to a subscriber, and the ones behind it.
    fn share_out(&self, next: usize, shares: &mut [Vec<usize>]) -> bool {
        if next == self.delivered.len() {
            let mut both = self.load().subscribers.iter().zip(shares.iter());
            return both.all(|(one, share)| self.explains(share, one));
        }
        (0..shares.len()).any(|subscriber| {
            if !self.may_follow(shares[subscriber].last(), next) {
                return false;
            }
            shares[subscriber].push(next);
            let is_possible = self.share_out(next + 1, shares);
            shares[subscriber].pop();
            is_possible
        })
    }

    /// Whether who had the one connection may have opened the other.
    fn may_follow(&self, last: Option<&usize>, next: usize) -> bool {
        let Some(last) = last else { return true };
        let number = |idx: usize| self.delivered[idx].connection;
        match self.ledger.broken.get(&number(*last)) {
            Some(newest) => number(next) > *newest,
            None => self.schedule.has_silence(),
        }
    }

    /// Whether a subscriber that had these connections can have got what it says.
    fn explains(&self, share: &[usize], one: &SubscriberLoad) -> bool {
        let (mut all, mut confirmed) = (Messages::new(), Messages::new());
        let (mut n_copies, mut n_confirmed_copies) = (0, 0);
        for delivered in share.iter().map(|idx| &self.delivered[*idx]) {
            all.extend(&delivered.all);
            confirmed.extend(&delivered.confirmed);
            n_copies += delivered.n_copies;
            n_confirmed_copies += delivered.n_confirmed_copies;
        }
        let received = confirmed.len() as u64..=all.len() as u64;
        let arrivals = n_confirmed_copies..=n_copies;
        received.contains(&one.received) && arrivals.contains(&(one.received + one.duplicated))
    }
}

/// By connection what its subscriptions got, in the order in which the connections came.
fn delivered_by_connection(ledger: &Ledger) -> Vec<Delivered> {
    let keys = ledger.accepted.measured().map(|(key, _)| key);
    let places: BTreeMap<&MessageKey, usize> = keys.zip(0..).collect();
    let add = |messages: &mut Messages, n_copies: &mut u64, tally: &Tally| {
        for (key, n) in tally.measured() {
            messages.insert(places[key]);
            *n_copies += n;
        }
    };
    let mut connections: BTreeMap<u64, Delivered> = BTreeMap::new();
    for delivery in &ledger.deliveries {
        let one = connections.entry(delivery.connection).or_default();
        one.connection = delivery.connection;
        add(&mut one.all, &mut one.n_copies, &delivery.messages);
        add(
            &mut one.confirmed,
            &mut one.n_confirmed_copies,
            &delivery.confirmed,
        );
    }
    connections.into_values().collect()
}
