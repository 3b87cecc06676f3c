//! What the gateway's heap holds for each of many clients of the application `sip`, as [`costs`](super::costs) has it of others.

use std::{net::SocketAddr, ops::Range};

use rehearsal_core::{config::Config, env::Env};
use rehearsal_sim::{
    SimEnv, SimTask,
    clients::{
        phone::{self, Answer, Called, PhonePlan, Registrar, Reply},
        sip_client::{self, Command, Order, SipClientPlan},
    },
};

use super::costs::{
    Cost, END_MS, FIRST, FIRST_PUBLISHERS, MEASURED, MEASURED_PUBLISHERS, Stage, phone_name, quiet,
    staged_with,
};

/// A client of the application `sip` that has no call.
pub(super) fn without_call(is_registered: bool) -> Cost {
    staged_with(
        0,
        |config| serve_all(config, FIRST + MEASURED),
        async |stage| {
            let _exchange = stage.exchange();
            let password = is_registered.then_some("sesame");
            let _first = stage.sip_clients(100, 0..FIRST, password, |_| None);
            // Nothing more is expected by then of what was said to register.
            let before = stage.usage(15_000, FIRST).await;
            let _others = stage.sip_clients(15_000, FIRST..FIRST + MEASURED, password, |_| None);
            let after = stage.usage(30_000, FIRST + MEASURED).await;
            Cost::of_each(before, after, MEASURED)
        },
    )
}

/// A client of the application `sip` with a call that is up, in which nothing is said.
pub(super) fn in_call() -> Cost {
    let all = FIRST_PUBLISHERS + MEASURED_PUBLISHERS;
    let configure = |config: &mut Config| {
        serve_all(config, all);
        config.rtp.silence_ms = 2 * END_MS;
    };
    staged_with(all, configure, async |stage| {
        let _phones = stage.answering();
        let invite = |number| Some(format!("sip:{0}@{0}", phone_name(number)));
        // Its connection, and one pair of ports.
        let sockets = 3;
        let _first = stage.sip_clients(100, 0..FIRST_PUBLISHERS, None, invite);
        // Nothing more is expected by then of what was said to begin.
        let before = stage.usage(45_000, sockets * FIRST_PUBLISHERS).await;
        let _others = stage.sip_clients(45_000, FIRST_PUBLISHERS..all, None, invite);
        let after = stage.usage(90_000, sockets * all).await;
        Cost::of_each(before, after, MEASURED_PUBLISHERS)
    })
}

/// Clients of one host are as many as there are.
fn serve_all(config: &mut Config, clients: u64) {
    let sip = &mut config.sip;
    sip.client_domains = vec!["*".to_owned()];
    sip.max_clients = clients as usize;
    sip.max_clients_per_address = sip.max_clients;
    sip.max_client_calls_per_minute = sip.max_clients;
    sip.max_calls = sip.max_clients;
}

impl Stage {
    /// Clients of the application `sip`, each as somebody else, who stay and say nothing; registered if they have a password, and
    /// with a call if they invite somebody.
    fn sip_clients(
        &self,
        from_ms: u64,
        numbers: Range<u64>,
        password: Option<&str>,
        invites: impl Fn(u64) -> Option<String>,
    ) -> Vec<SimTask> {
        self.crowd(from_ms, numbers, |number, start_ms| {
            let invite = |to| Order { at_ms: start_ms, command: Command::Invite(to) };
            let plan = SipClientPlan {
                start_ms,
                address: format!("{number:04}@clients"),
                password: password.map(str::to_owned),
                orders: invites(number).map(invite).into_iter().collect(),
                leave_ms: END_MS,
                ..SipClientPlan::default()
            };
            let (env, rtmp, origin) = (self.clients.clone(), self.rtmp, self.origin);
            async move {
                sip_client::run(env, rtmp, plan, origin, quiet()).await;
            }
        })
    }

    /// A phone on each of their hosts, which takes a call.
    fn answering(&self) -> Vec<SimTask> {
        let gateway = SocketAddr::new(self.rtmp.ip(), Config::default().sip.listen.port());
        let reply = Reply { rings_ms: None, after_ms: 100, answer: Answer::Accept };
        let (replies, away_ms) = (vec![reply], Vec::new());
        let called = Called { replies, proof: None, registrar: None, away_ms };
        let plan = PhonePlan { called: Some(called), leave_ms: END_MS, ..PhonePlan::default() };
        let answer = |host: &SimEnv| {
            let answering = phone::run(host.clone(), gateway, plan.clone(), self.origin, quiet());
            host.spawn(async {
                answering.await;
            })
        };
        self.phones.iter().map(answer).collect()
    }

    /// An exchange that registers everybody.
    fn exchange(&self) -> SimTask {
        let registrar = Registrar { expires_s: 180, min_expires_s: 0, refuses_ms: None };
        let (replies, away_ms) = (Vec::new(), Vec::new());
        let called = Called { replies, proof: None, registrar: Some(registrar), away_ms };
        let plan = PhonePlan { called: Some(called), leave_ms: END_MS, ..PhonePlan::default() };
        let gateway = SocketAddr::new(self.rtmp.ip(), Config::default().sip.listen.port());
        let registering = phone::run(self.clients.clone(), gateway, plan, self.origin, quiet());
        self.clients.spawn(async {
            registering.await;
        })
    }
}
