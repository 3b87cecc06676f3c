//! A plan in short: who does what from when to when, and which faults and fault points there are.

use maud::{Markup, html};

use super::charts::time;
use crate::plan::Plan;

/// Faults that are listed.
const FAULTS_MAX: usize = 40;

/// Folded away under its counts.
pub(super) fn section(plan: &Plan) -> Markup {
    let client = |host: &str, what: String, from_ms: u64, to_ms: u64| {
        let faulty = if plan.is_faulty(host) { "may fare badly" } else { "" };
        html! {
            tr {
                th scope="row" { (host) } td { (what) } td { (time(from_ms as f64)) } td { (time(to_ms as f64)) }
                td { (faulty) }
            }
        }
    };
    let clients = plan.publishers.len()
        + plan.players.len()
        + plan.raw_clients.len()
        + plan.crowds.len()
        + plan.phones.len()
        + plan.sip_clients.len()
        + plan.strangers.len();
    html! {
        details.plan {
            summary {
                "Plan: " (plan.publishers.len()) " publishers, " (plan.players.len()) " players, "
                (plan.raw_clients.len()) " raw clients, " (plan.crowds.len()) " crowds, "
                @if !plan.phones.is_empty() { (plan.phones.len()) " phones, " }
                @if !plan.sip_clients.is_empty() { (plan.sip_clients.len()) " user agents, " }
                @if !plan.strangers.is_empty() { (plan.strangers.len()) " strangers, " }
                (plan.faults.len()) " faults, " (plan.fault_points.len()) " fault points"
            }
            @if clients > 0 {
                div.scroll { table {
                    thead { tr { th { "host" } th { "does" } th { "from" } th { "to" } th { "" } } }
                    tbody {
                        @for it in &plan.publishers {
                            (client(&it.host, format!("publishes {}", it.plan.stream), it.plan.start_ms,
                                it.plan.start_ms + it.plan.duration_ms))
                        }
                        @for it in &plan.players {
                            (client(&it.host, format!("plays {} by {:?}", it.plan.stream, it.protocol),
                                it.plan.start_ms, it.plan.leave_ms))
                        }
                        @for it in &plan.raw_clients {
                            (client(&it.host, format!("sends {} pieces to {:?}", it.plan.pieces.len(), it.listener),
                                it.plan.start_ms, it.plan.leave_ms))
                        }
                        @for it in &plan.crowds {
                            (client(&it.host, format!("{} play {} by {:?}", it.count, it.plan.stream, it.protocol),
                                it.plan.start_ms, it.plan.leave_ms))
                        }
                        @for it in &plan.phones {
                            (client(&it.host, format!("calls {}", it.plan.dial), it.plan.start_ms, it.plan.leave_ms))
                        }
                        @for it in &plan.sip_clients {
                            (client(&it.host, format!("calls as {}", it.plan.address), it.plan.start_ms, it.plan.leave_ms))
                        }
                        @for it in &plan.strangers {
                            (client(&it.host, format!("sends {} datagrams to {:?}", it.plan.datagrams.len(), it.plan.target),
                                it.plan.start_ms, it.plan.leave_ms))
                        }
                    }
                } }
            }
            @if !plan.faults.is_empty() {
                div.scroll { table {
                    thead { tr { th { "at" } th { "host" } th { "fault" } } }
                    tbody {
                        @for fault in plan.faults.iter().take(FAULTS_MAX) {
                            tr {
                                td { (time(fault.at_ms as f64)) }
                                th scope="row" { (fault.host) }
                                td { (format!("{:?}", fault.lever)) }
                            }
                        }
                    }
                } }
                @if plan.faults.len() > FAULTS_MAX {
                    p.note { "And " (plan.faults.len() - FAULTS_MAX) " more faults." }
                }
            }
            @if !plan.fault_points.is_empty() {
                div.scroll { table {
                    thead { tr { th { "fault point of the gateway" } th { "fires, of the times it is come to" } } }
                    tbody {
                        @for (name, ppm) in &plan.fault_points {
                            tr { th scope="row" { (name) } td { (f64::from(*ppm) / 10_000.0) " %" } }
                        }
                    }
                } }
            }
        }
    }
}
