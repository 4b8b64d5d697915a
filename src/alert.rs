//! Alerts: what is due to be told, once, and the channels that tell it (mail,
//! webhook, command). No channel delays mail, or another channel.
