//! Schedules that are tried by name: what must work at least, and what has failed once.

use natsbench::load::plan::WhileDown;
use natsbench::rounds::Route;

use super::schedule::{Incident, Schedule};
use crate::harness::{Cut, Fault, Whom};

#[track_caller]
fn holds(schedule: &Schedule) {
    if let Err(failure) = schedule.check() {
        panic!("{failure}\nin {schedule:#?}");
    }
}

#[test]
fn a_quiet_run_balances() {
    holds(&Schedule::quiet());
}

#[test]
fn what_a_choked_connection_was_not_given_is_sent_over_the_next_one_and_counted_once() {
    for fault in [Fault::Cut(Cut::Fin), Fault::Cut(Cut::Reset)] {
        holds(&Schedule {
            n_rounds: 200,
            rate_per_s: 2_500,
            route: Route::Both,
            size_bytes: Some(20_000),
            incidents: vec![(60, Incident::Choke(60, fault))],
            ..Schedule::quiet()
        });
    }
}

#[test]
fn a_run_of_which_everything_is_cut_balances() {
    for while_down in [WhileDown::Send, WhileDown::Skip] {
        holds(&Schedule {
            n_publishers: 2,
            n_subscribers: 3,
            n_unprocessed: 7,
            while_down,
            incidents: vec![
                (20, Incident::Break(Whom::All, Fault::Cut(Cut::Reset))),
                (50, Incident::Break(Whom::All, Fault::Cut(Cut::Fin))),
                (
                    60,
                    Incident::Break(Whom::Subscriber(1), Fault::CutInMidFrame),
                ),
            ],
            ..Schedule::quiet()
        });
    }
}
