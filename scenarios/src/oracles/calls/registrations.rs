//! O16 for accounts: a registration that was granted is refreshed before it is over, and not long before, over many periods.

use std::time::Duration;

use rehearsal_sim::clients::phone::{Binding, Saying, Way};

use super::of_each;
use crate::run::Evidence;

/// Every exchange whose line delivers what it takes, while it is there and grants what it is asked for.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    of_each(evidence, |case| {
        let Some(called) = &case.phone.plan.called else { return Vec::new() };
        let Some(registrar) = called.registrar else { return Vec::new() };
        if !case.is_in_order() || !case.is_faithful() || case.plan.is_faulty(&case.phone.host) {
            return Vec::new();
        }
        let outages = case.plan.outages().into_iter().map(|outage| (outage.from, outage.to));
        let ms = Duration::from_millis;
        let troubles = called.away_ms.iter().copied().chain(registrar.refuses_ms);
        let troubles = troubles.map(|(from, to)| (ms(from), ms(to))).chain(outages);
        let troubles: Vec<(Duration, Duration)> = troubles.collect();
        let received = case.report.signals.iter().filter(|it| it.way == Way::Received);
        let asked = received.filter(|it| it.what == Saying::Request && it.method == "REGISTER");
        let asked: Vec<(Duration, String)> =
            asked.map(|it| (it.at, String::from_utf8_lossy(&it.raw).into_owned())).collect();
        let bindings = case.report.bindings.iter().filter(|binding| binding.granted_s > 0);
        let wrong = bindings.filter_map(|binding| {
            let (at, granted) = (binding.at, Duration::from_secs(binding.granted_s.into()));
            let late = at + granted;
            let is_troubled = troubles.iter().any(|(from, to)| *from < late && at < *to);
            if is_troubled || late >= case.report.left_at {
                return None;
            }
            // Others may register here, too.
            let is_its =
                |(asked, raw): &&(Duration, String)| *asked > at && raw.contains(&binding.contact);
            let next = asked.iter().find(is_its).map(|(at, _)| *at);
            // It may have to be proven who takes it back.
            let is_over = |next: Duration| {
                let since = |it: &Binding| (next..late).contains(&it.at);
                let mut all = case.report.bindings.iter();
                all.any(|it| since(it) && it.contact == binding.contact && it.granted_s == 0)
            };
            let in_time = next.is_some_and(|next| {
                (at + granted / 2..late).contains(&next) || next < late && is_over(next)
            });
            (!in_time).then(|| {
                format!("registered at {at:?} for {granted:?}, it was so again at {next:?}")
            })
        });
        wrong.collect()
    })
}
