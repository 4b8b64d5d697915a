//! What a discovered connector costs, as what the kernel gave to the process.

use connguard::connector::Identities;

use crate::{
    mail::{self, engine, fill, filters, resident, send},
    text::commas,
};

pub(crate) fn clients(scale: u32) -> String {
    measure(1_000_000 / scale, mail::client)
}

pub(crate) fn logins(scale: u32) -> String {
    measure(300_000 / scale, mail::login) + &measure(1_000_000 / scale, mail::login)
}

fn measure(count: u32, who: fn(u32) -> Identities) -> String {
    // Newcomers hold a quarter of the cap at the most, a sixth comes on each day.
    let engine = engine(count + count / 2);
    send(&engine, &who(count), None, mail::START);
    let (before, shared) = (resident(), filters(&engine));
    fill(&engine, count, who, 0);
    let after = resident();
    let shared = filters(&engine) - shared;
    assert!(engine.roster().len() >= count as usize);
    let all = after - before;
    let each = (all - shared) / u64::from(count);
    // Not to be reused by what is measured next.
    std::mem::forget(engine);
    format!(
        "- {}: **{} octets each** (1.5 KiB are 1,536); {} MB in all, of which the filters that all share grew by {:.1} MB and are left out, as is what is remembered of the queue of Postfix\n",
        commas(count),
        commas(each),
        commas(all / 1_000_000),
        shared as f64 / 1e6,
    )
}
