//! All channels: what leads where, what goes to which, and how they are doing.

use super::{
    Message,
    channel::{Health, LAST_WAIT, Target, Worker},
    params::{Channel, Params},
    trouble::Trouble,
};
use crate::{engine::Engine, timestamp::Timestamp, view::Alert};
use serde::Serialize;
use std::{
    io,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

/// How the troubles of channels are called.
pub(super) const KEY: &str = "channel:";

/// How a channel is doing.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ChannelStatus {
    /// The channel.
    pub channel: Channel,
    /// Where it leads, without what is secret.
    pub target: String,
    /// Whether the last try worked, or none was made yet.
    pub healthy: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// Since when nothing was sent although something was to be.
    pub failing_since: Option<Timestamp>,
    /// When something was last sent.
    pub last_sent: Option<Timestamp>,
    /// Alerts that it took since the start, ...
    pub sent: u64,
    /// ... that it gave up, ...
    pub failed: u64,
    /// ... and that wait.
    pub queued: usize,
}

/// See the head of this module.
pub(super) struct Post {
    workers: Vec<(Channel, Worker)>,
    engine: Arc<Engine>,
    params: Params,
}

impl Post {
    pub(super) fn start(
        params: Params,
        engine: Arc<Engine>,
        now: &Arc<dyn Fn() -> Timestamp + Send + Sync>,
        messages: &Sender<Message>,
    ) -> io::Result<Self> {
        let worker = |channel| {
            let messages = messages.clone();
            // A herald that ended asks for nothing any more.
            let report = move |outcome| drop(messages.send(Message::Outcome(outcome)));
            Ok((channel, Worker::start(channel, Arc::clone(now), report)?))
        };
        let workers = Channel::ALL.into_iter().map(worker).collect::<io::Result<Vec<_>>>()?;
        let post = Self { workers, engine, params };
        for (channel, worker) in &post.workers {
            worker.lead(post.target(*channel));
        }
        Ok(post)
    }

    pub(super) fn params(&self) -> &Params {
        &self.params
    }

    /// Puts new parameters in force; gives the channels that are no more.
    pub(super) fn reconfigure(&mut self, params: Params) -> Vec<Channel> {
        let old = std::mem::replace(&mut self.params, params);
        for (channel, worker) in &self.workers {
            let changed = match channel {
                Channel::Mail => old.mail != self.params.mail || old.host != self.params.host,
                Channel::Webhook => old.webhook != self.params.webhook,
                Channel::Command => old.command != self.params.command,
            };
            if changed {
                worker.lead(self.target(*channel));
            }
        }
        let gone = |channel: &Channel| self.params.target(*channel).is_none();
        old.channels().into_iter().filter(gone).collect()
    }

    /// Gives an alert to a channel.
    pub(super) fn deliver(&self, channel: Channel, alert: &Arc<Alert>) {
        if let Some(worker) = self.worker(channel) {
            worker.take(Arc::clone(alert));
        }
    }

    /// No channel tells this alert any more; gives those that were still to.
    pub(super) fn drop(&self, id: &str) -> Vec<Channel> {
        let waited = self.workers.iter().filter(|(_, worker)| worker.drop(id));
        waited.map(|(channel, _)| *channel).collect()
    }

    /// Each channel that leads somewhere.
    pub(super) fn status(&self) -> Vec<ChannelStatus> {
        let status = |(channel, worker): &(Channel, Worker)| {
            let target = self.params.target(*channel)?;
            let Health { sent, failed, queued, last_sent, failing } = worker.health();
            let (failing_since, error) = failing.unzip();
            let (channel, healthy) = (*channel, error.is_none());
            Some(ChannelStatus {
                channel,
                target,
                healthy,
                error,
                failing_since,
                last_sent,
                sent,
                failed,
                queued,
            })
        };
        self.workers.iter().filter_map(status).collect()
    }

    /// Channels that fail.
    pub(super) fn troubles(&self) -> Vec<Trouble> {
        let trouble = |status: ChannelStatus| {
            let error = status.error?;
            Some(Trouble {
                key: format!("{KEY}{}", status.channel),
                text: format!(
                    "Alerts by {} ({}) fail: {error}. {} wait and are tried again for a day. Put it right, and try it with `connguard alerts test`.",
                    status.channel, status.target, status.queued
                ),
            })
        };
        self.status().into_iter().filter_map(trouble).collect()
    }

    /// Ends the threads: see [`Worker::close`].
    pub(super) fn stop(&self) {
        for (_, worker) in &self.workers {
            worker.close();
        }
        // They end at the same time: whoever was waited for in vain used up the
        // time of all.
        let mut most = LAST_WAIT;
        for (_, worker) in &self.workers {
            if !worker.wait(most) {
                most = Duration::ZERO;
            }
        }
    }

    fn worker(&self, channel: Channel) -> Option<&Worker> {
        self.workers.iter().find(|(known, _)| *known == channel).map(|(_, worker)| worker)
    }

    fn target(&self, channel: Channel) -> Option<Target> {
        let Params { mail, webhook, command, host, .. } = &self.params;
        match channel {
            Channel::Mail => mail.clone().map(|mail| Target::Mail {
                mail,
                host: host.clone(),
                engine: Arc::clone(&self.engine),
            }),
            Channel::Webhook => webhook.clone().map(Target::Webhook),
            Channel::Command => command.clone().map(Target::Command),
        }
    }
}
