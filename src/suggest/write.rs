//! A plan as the text of a configuration.

use super::{
    plan::{Block, Plan, Proposed},
    quote,
};

/// The whole file.
pub(super) fn write(plan: &Plan) -> String {
    let mut text = String::new();
    for paragraph in &plan.head {
        text += &quote::comment(paragraph);
    }
    for warning in &plan.warnings {
        text += &quote::comment(&format!("NOTE: {warning}"));
    }
    text += "\nmode = \"observe\"\n\n[milter]\n";
    text += &many("inbound_domains", &plan.inbound);
    text += &many("local_transports", &plan.local_transports);
    text += &many("relay_networks", &plan.networks);
    text += &many("ignore_daemons", &plan.ways_back);
    text += &notes(&plan.realm);
    if let Some(realm) = plan.realm.values.first() {
        text += &format!("login_realm = {}\n", quote::string(realm));
    }
    text += "\n[[organization]]\nname = \"default\"\n";
    text += &quote::comment(
        "What your clients send as. Each domain of yours that lacks makes honest mail look odd; \
         each that is not yours hides some abuse.",
    );
    text += &many("registered_domains", &plan.registered);
    for block in &plan.blocks {
        text += &connector(block);
    }
    if !plan.discovered.is_empty() {
        text += "\n";
    }
    for paragraph in &plan.discovered {
        text += &quote::comment(paragraph);
    }
    text
}

fn notes(proposed: &Proposed) -> String {
    proposed.notes.iter().map(|note| quote::comment(note)).collect()
}

fn many(key: &str, proposed: &Proposed) -> String {
    let mut text = notes(proposed);
    if !proposed.values.is_empty() {
        text += &format!("{key} = {}\n", quote::array(&proposed.values));
    }
    text
}

fn connector(block: &Block) -> String {
    let mut text = String::from("\n");
    for comment in &block.comments {
        text += &quote::comment(comment);
    }
    text += &format!("[[connector]]\nname = {}\n", quote::string(&block.name));
    for (key, values) in [("clients", &block.clients), ("logins", &block.logins)] {
        if !values.is_empty() {
            text += &format!("{key} = {}\n", quote::array(values));
        }
    }
    if let Some((subject, issuer)) = &block.certificate {
        text += &format!(
            "certificate = {{ subject = {}, issuer = {} }}\n",
            quote::string(subject),
            quote::string(issuer)
        );
    }
    if !block.registered.is_empty() {
        text += &quote::comment("What it alone sends as, steadily.");
        text += &format!("registered_domains = {}\n", quote::array(&block.registered));
    }
    if let Some(profile) = block.profile {
        text += &format!("profile = \"{profile}\"\n");
    }
    if let Some((messages, recipients)) = block.usual {
        text += &format!(
            "usual = {{ messages_per_hour = {messages}, recipients_per_hour = {recipients} }}\n"
        );
    }
    text
}
