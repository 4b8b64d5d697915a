//! What was asked for.

pub(crate) const USAGE: &str = "\
cargo bench --bench instructions -- [options] [WORD...]
  --accept     write the counts to the baseline instead of comparing with it
  --repeat N   count N times, and say how far the counts differ (default 1)
  WORD         only scenarios with one of these words in their names";

/// All of it.
#[derive(Debug)]
pub(crate) enum Args {
    /// From here to valgrind and back: run a scenario.
    Run { scenario: String, messages: u64 },
    /// Count.
    Count { accept: bool, repeat: usize, only: Vec<String> },
}

impl Args {
    /// Reads the arguments; nothing where cargo did not say `--bench`.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let args: Vec<String> = args.collect();
        if let [run, scenario, messages] = &args[..]
            && run == "--run"
        {
            let messages = messages.parse().map_err(|_| format!("{messages:?} is no number"))?;
            return Ok(Some(Self::Run { scenario: scenario.clone(), messages }));
        }
        let (mut asked, mut accept, mut repeat, mut only) = (false, false, 1, Vec::new());
        let mut args = args.into_iter();
        while let Some(argument) = args.next() {
            match &*argument {
                "--bench" => asked = true,
                "--accept" => accept = true,
                "--repeat" => {
                    let number = args.next().and_then(|text| text.parse().ok());
                    repeat = number.filter(|it| *it > 0).ok_or("--repeat: say how often")?;
                }
                option if option.starts_with('-') => {
                    // Tests have options of their own.
                    if asked {
                        return Err(format!("{option}: no such option"));
                    }
                }
                _ => only.push(argument),
            }
        }
        Ok(asked.then_some(Self::Count { accept, repeat, only }))
    }
}
