//! What is counted of the cases, shown of failures, and written as JSON.

use super::{
    Case, Ended, Options,
    compared::Compared,
    expected::{DraftCounts, Expectation, Expected},
    ways::Way,
};
use crate::{UsageError, Verdict, print, written};
use fugue_executor::Mode;
use serde_json::{Value, json};
use std::{collections::BTreeMap, io::Write, path::Path};

/// Failures that are printed; all of them are counted.
const FAILURES_SHOWN: usize = 50;

/// Counts, and what is shown of failures.
pub(super) struct Report {
    passed: usize,
    failed: usize,
    skipped: usize,
    drafts: DraftCounts,
    /// Runs in each way.
    runs: BTreeMap<String, usize>,
    /// Executions beside.
    pub(super) compared: Compared,
    /// A file was not JSON, or a fixture not of its kind's form.
    pub(super) is_input_bad: bool,
    shown: Vec<String>,
    /// What else was counted.
    pub(super) notes: Vec<Note>,
    json: Option<Box<dyn Write>>,
    /// Standard output belongs to the JSON lines.
    is_output_json: bool,
    is_engine: bool,
    /// Where the cases come from.
    source: String,
}

/// Something that is counted, and is no case.
pub(super) struct Note {
    /// In the summary.
    pub(super) field: &'static str,
    pub(super) count: usize,
    /// What follows the count in the text.
    pub(super) text: &'static str,
}

impl Report {
    pub(super) fn new(options: &Options) -> Result<Self, UsageError> {
        let json = options.json.as_ref();
        let is_output_json = json.is_some_and(|path| path.as_os_str() == "-");
        let json: Option<Box<dyn Write>> = match json {
            None => None,
            Some(path) if path.as_os_str() == "-" => Some(Box::new(std::io::stdout())),
            Some(path) => {
                let file =
                    std::fs::File::create(path).map_err(|error| UsageError::at(path, error))?;
                Some(Box::new(std::io::BufWriter::new(file)))
            }
        };
        Ok(Self {
            passed: 0,
            failed: 0,
            skipped: 0,
            drafts: DraftCounts::default(),
            runs: BTreeMap::new(),
            compared: Compared::default(),
            is_input_bad: false,
            shown: Vec::new(),
            notes: Vec::new(),
            json,
            is_output_json,
            is_engine: options.engine,
            source: String::new(),
        })
    }

    /// The cases that are added from here on are of this source.
    pub(super) fn begin(&mut self, source: &Path) {
        self.source = source.display().to_string();
    }

    pub(super) fn add(&mut self, case: Case, expected: &Expected) -> Result<(), UsageError> {
        let Case { name, fork, way, slot, ended } = case;
        let is_beside = matches!(ended, Ended::Differed(_));
        if let Some(way) = way.filter(|_| !is_beside) {
            *self.runs.entry(way.to_string()).or_default() += 1;
        }
        let expectation = match &ended {
            Ended::NotRun(kind) => expected.of_kind(kind),
            Ended::Passed | Ended::Failed(_) => expected.of_case(&name, &fork),
            Ended::Differed(_) => Expectation::Pass,
        };
        let (verdict, reason) = match (ended, expectation) {
            (Ended::Passed, Expectation::Pass) => {
                self.passed += 1;
                return Ok(());
            }
            (Ended::Passed, Expectation::Fail(reason)) => {
                ("failed", format!("passes, but is listed as an expected failure: {reason}"))
            }
            (Ended::Passed, Expectation::Draft(entry, _)) => {
                self.drafts.add(entry, slot, true);
                self.passed += 1;
                return Ok(());
            }
            (Ended::Failed(why), Expectation::Draft(entry, reason)) => {
                self.drafts.add(entry, slot, false);
                ("skipped", format!("{reason} ({why})"))
            }
            (Ended::Failed(why), Expectation::Pass) => ("failed", why),
            (Ended::Failed(why), Expectation::Fail(reason)) => {
                ("skipped", format!("{reason} ({why})"))
            }
            (Ended::Differed(why), _) => ("failed", format!("differs from seq: {why}")),
            (Ended::NotRun(_), Expectation::Fail(reason) | Expectation::Draft(_, reason)) => {
                ("skipped", reason.to_owned())
            }
            (Ended::NotRun(kind), Expectation::Pass) => {
                ("failed", format!("a fixture of kind \"{kind}\" is not known here"))
            }
        };
        let mut line = json!({
            "type": "case", "name": name, "fork": fork,
            "mode": way.map(|way| way.mode.to_string()).unwrap_or_default(),
            "threads": way.filter(|way| way.mode != Mode::Seq).map(|way| way.threads),
            "verdict": verdict, "reason": reason,
        });
        if verdict == "failed" {
            self.failed += 1;
            let rerun = self.rerun(&name, way, is_beside);
            if self.shown.len() < FAILURES_SHOWN {
                let way = way.map(|way| way.to_string()).unwrap_or_default();
                self.shown.push(format!("{name} {fork} {way}: {reason}\n       {rerun}"));
            }
            line["rerun"] = json!(rerun);
        } else {
            self.skipped += 1;
        }
        self.line(&line)
    }

    /// The command that runs a case again, in this way alone.
    fn rerun(&self, name: &str, way: Option<Way>, is_beside: bool) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let engine = if self.is_engine { " --engine" } else { "" };
        let way = way.map(|Way { mode, threads }| format!(" --mode {mode} --threads {threads}"));
        let turns = if is_beside { " --turns 0 --compare 1" } else { "" };
        let (way, name, source) = (way.unwrap_or_default(), quoted(name), quoted(&self.source));
        format!("fugue spectest{engine}{way}{turns} --case {name} {source}")
    }

    /// Judges how many cases of drafts have passed.
    pub(super) fn judge_drafts(&mut self, expected: &Expected) {
        for wrong in expected.check_drafts(&self.drafts) {
            self.failed += 1;
            self.shown.push(wrong);
        }
    }

    fn line(&mut self, value: &Value) -> Result<(), UsageError> {
        match &mut self.json {
            Some(out) => written("--json", writeln!(out, "{value}")),
            None => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> Result<Verdict, UsageError> {
        for failure in &self.shown {
            eprintln!("FAILED {failure}");
        }
        if self.failed > self.shown.len() {
            eprintln!("... and {} more", self.failed - self.shown.len());
        }
        let Compared { runs, fallbacks } = self.compared;
        if runs > 0 {
            let note = |field, count, text| Note { field, count, text };
            self.notes.push(note("compared", runs, "executions compared with the sequential one"));
            self.notes.push(note("fallbacks", fallbacks, "of them did not end in parallel"));
        }
        let mut summary = json!({
            "type": "summary", "runs": self.runs,
            "passed": self.passed, "failed": self.failed, "skipped": self.skipped,
        });
        let mut lines = String::new();
        for Note { field, count, text } in &self.notes {
            summary[*field] = json!(count);
            lines.push_str(&format!("{count} {text}\n"));
        }
        self.line(&summary)?;
        if let Some(out) = &mut self.json {
            written("--json", out.flush())?;
        }
        let Self { passed, failed, skipped, .. } = self;
        lines.push_str(&format!("{passed} passed, {failed} failed, {skipped} skipped\n"));
        if self.is_output_json {
            eprint!("{lines}");
        } else {
            print(lines)?;
        }
        Ok(match (self.failed, self.is_input_bad) {
            (0, false) => Verdict::Good,
            (0, true) => Verdict::BadInput,
            _ => Verdict::Differs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Modes;

    #[test]
    fn what_differs_fails_in_a_draft_too_and_is_told_with_the_command_that_repeats_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let options = Options {
            paths: Vec::new(),
            mode: Modes::All,
            threads: vec![1, 8],
            turns: Some(1),
            compare: 1,
            seed: 0,
            engine: false,
            fork: None,
            case: None,
            json: Some(path.clone()),
        };
        let expected = Expected::load().unwrap();
        let case = |ended| Case {
            name: "blockchain_tests_devnet/for_amsterdam/f.json::t".to_owned(),
            fork: "Amsterdam".to_owned(),
            way: Some(Way { mode: Mode::Occ, threads: 8 }),
            slot: 1,
            ended,
        };
        let mut report = Report::new(&options).unwrap();
        report.begin(Path::new("it's.tar.zst"));
        report.add(case(Ended::Failed("gas".to_owned())), &expected).unwrap();
        report.add(case(Ended::Differed("nonce".to_owned())), &expected).unwrap();
        assert_eq!(report.finish().unwrap(), Verdict::Differs);

        let written = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> =
            written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [skipped, failed, summary] = &lines[..] else { panic!("{written}") };
        assert_eq!(skipped["verdict"], "skipped");
        assert_eq!(failed["verdict"], "failed");
        assert_eq!((&failed["mode"], &failed["threads"]), (&json!("occ"), &json!(8)));
        let command = "fugue spectest --mode occ --threads 8 --turns 0 --compare 1 --case \
                       'blockchain_tests_devnet/for_amsterdam/f.json::t' 'it'\\''s.tar.zst'";
        assert_eq!(failed["rerun"], command);
        // What is executed beside is no run of the case.
        assert_eq!(summary["runs"], json!({ "occ/8": 1 }));
    }
}
