//! `alerts` and `alerts test`.

use super::{Operator, to_value};
use crate::{command::Failure, control::Answers};
use serde_json::Value;
use std::sync::Arc;

impl Operator {
    pub(super) async fn alerts(&self, answers: &mut Answers) -> Result<Value, Failure> {
        for alert in self.alert.list() {
            answers.item(&alert).await?;
        }
        Ok(Value::Null)
    }

    pub(super) async fn test_alerts(&self) -> Result<Value, Failure> {
        let alert = Arc::clone(&self.alert);
        // It waits for the channels: not on a thread that serves mail.
        let tested = tokio::task::spawn_blocking(move || alert.test())
            .await
            .map_err(|error| Failure::refused(error.to_string()))?;
        let tested = tested.ok_or_else(|| {
            Failure::refused("the alerts do not answer; is connguard being stopped? See its log")
        })?;
        if tested.is_empty() {
            return Err(Failure::no(
                "no channel is configured, alerts are only logged: set to, webhook or command \
                 below [alert] in the configuration, and `connguard reload`",
            ));
        }
        to_value(&tested)
    }
}
