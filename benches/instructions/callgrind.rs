//! Valgrind: runs this program under callgrind and reads what it counted.

use super::scenarios::Scenario;
use std::{fs, path::PathBuf, process::Command, sync::Mutex, thread};

/// Messages before those that are counted.
const WARM_UP: u64 = 200;

/// What a message of a scenario costs, as often as that was counted.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) name: &'static str,
    /// In ascending order.
    each: Vec<f64>,
}

impl Count {
    pub(crate) fn median(&self) -> f64 {
        self.each[self.each.len() / 2]
    }

    /// From the smallest count to the largest, in percent.
    pub(crate) fn spread(&self) -> f64 {
        (self.each[self.each.len() - 1] / self.each[0] - 1.0) * 100.0
    }
}

/// The version of the valgrind that is installed.
pub(crate) fn version() -> Result<String, String> {
    let output = Command::new("valgrind").arg("--version").output().map_err(|fault| {
        format!("can't run valgrind ({fault}): install it, on Debian `apt-get install valgrind`")
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where the profiles are left, for people.
pub(crate) fn profiles() -> String {
    folder().join("NAME.out").display().to_string()
}

/// Counts each of them so many times, on all processors.
pub(crate) fn count(scenarios: &[&'static Scenario], repeat: usize) -> Result<Vec<Count>, String> {
    fs::create_dir_all(folder()).map_err(|fault| format!("{}: {fault}", folder().display()))?;
    // Whatever comes last has to be waited for: not the longest one.
    let jobs = scenarios.iter().enumerate().flat_map(|it| std::iter::repeat_n(it, repeat));
    let jobs = Mutex::new(jobs.enumerate());
    let counted = Mutex::new(vec![Vec::new(); scenarios.len()]);
    let work = || -> Result<(), String> {
        loop {
            let next = jobs.lock().unwrap().next();
            let Some((job, (at, scenario))) = next else { return Ok(()) };
            let count = count_one(scenario, job)?;
            counted.lock().unwrap()[at].push(count);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    let counted = counted.into_inner().unwrap();
    let counts = scenarios.iter().zip(counted).map(|(scenario, mut each)| {
        each.sort_by(f64::total_cmp);
        Count { name: scenario.name, each }
    });
    Ok(counts.collect())
}

fn count_one(scenario: &Scenario, job: usize) -> Result<f64, String> {
    let few = run(scenario, WARM_UP, &format!(".few-{job}"))?;
    let many = run(scenario, WARM_UP + scenario.messages, "")?;
    Ok(many.saturating_sub(few) as f64 / scenario.messages as f64)
}

fn run(scenario: &Scenario, messages: u64, mark: &str) -> Result<u64, String> {
    let name = scenario.name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    let out = folder().join(format!("{name}.out{mark}"));
    let program = std::env::current_exe().map_err(|fault| fault.to_string())?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(program);
    command.args(["--run", scenario.name, &messages.to_string()]);
    let output = command.output().map_err(|fault| format!("can't run valgrind: {fault}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{}: failed under valgrind:\n{said}", scenario.name));
    }
    let profile =
        fs::read_to_string(&out).map_err(|fault| format!("{}: {fault}", out.display()))?;
    if !mark.is_empty() {
        let _ = fs::remove_file(&out);
    }
    let total = profile.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
    total.ok_or_else(|| format!("{}: has no totals\n{said}", out.display()))
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("instructions")
}
