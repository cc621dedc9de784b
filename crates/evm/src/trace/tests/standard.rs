//! Steps that are told one by one, against those that are recorded.

use super::*;

/// Pushes two words, and reverts without data.
const REVERTS: &str = "60006000fd";
/// Jumps to a push.
const JUMPS_WRONG: &str = "600056";
/// Creates a contract without code, and stops.
const CREATES: &str = "600060006000f000";

fn lines(json: &str, view: &dyn StateView) -> Vec<StandardLine> {
    let options: GethDefaultTracingOptions = serde_json::from_str(json).expect("options");
    let mut lines = Vec::new();
    let mut sink = |line: &StandardLine| lines.push(line.clone());
    let told = at(view, |place| {
        let (subject, budget) = (tx(), unbounded());
        trace_standard(place, TraceSubject::Tx(&subject), &options, &budget, &mut sink)
    });
    told.expect("a trace");
    lines
}

/// The instructions, and how it ended.
fn split(mut lines: Vec<StandardLine>) -> (Vec<StandardStep>, StandardEnd) {
    let Some(StandardLine::End(end)) = lines.pop() else { panic!("no end: {lines:?}") };
    let step = |line| match line {
        StandardLine::Step(step) => step,
        StandardLine::End(end) => panic!("two ends: {end:?}"),
    };
    (lines.into_iter().map(step).collect(), end)
}

#[test]
fn what_is_told_is_what_is_recorded() {
    let options = r#"{ "enableMemory": true, "enableReturnData": true }"#;
    let stores_word = "6001600052".to_owned();
    for (outer, inner) in [
        (STORES.to_owned(), ""),
        (calls_inner(), STORES),
        (stores_word.clone() + &calls_inner(), REVERTS),
        (stores_word + &calls_inner(), "600160005260206000f3"),
        (CREATES.to_owned(), ""),
        ("01".to_owned(), ""),
        (calls_inner(), "0c"),
        (calls_inner(), LOOPS),
    ] {
        let state = state(&outer, inner);
        let (told, end) = split(lines(options, &state));
        let recorded = frame(options, &state);
        // What fails while it is executed is told once more.
        let first = told.iter().enumerate().filter(|(index, step)| {
            let before = index.checked_sub(1).and_then(|before| told.get(before));
            let is_again = before.is_some_and(|before| {
                (before.pc, before.depth, before.gas) == (step.pc, step.depth, step.gas)
            });
            !is_again
        });
        let first: Vec<_> = first.map(|(_, step)| step).collect();
        assert_eq!(first.len(), recorded.struct_logs.len(), "{outer} {inner}");
        for (step, log) in first.into_iter().zip(&recorded.struct_logs) {
            assert_eq!((step.pc, step.depth), (log.pc, log.depth), "{outer} {inner}");
            assert_eq!(step.gas.to::<u64>(), log.gas, "{outer} {inner}: {step:?}");
            assert_eq!(step.gas_cost.to::<u64>(), log.gas_cost, "{outer} {inner}: {step:?}");
            assert_eq!((&step.stack, &step.op_name), (&log.stack, &log.op), "{outer} {inner}");
            assert_eq!(step.return_data, log.return_data, "{outer} {inner}");
            assert_eq!(step.refund, log.refund_counter.unwrap_or_default(), "{outer} {inner}");
            let words = log.memory.as_ref().map_or(0, Vec::len);
            assert_eq!(step.mem_size, 32 * words, "{outer} {inner}");
            assert_eq!(step.memory.as_ref().map_or(0, |memory| memory.len()), 32 * words);
        }
        assert_eq!(end.error.is_some(), recorded.failed, "{outer} {inner}");
        assert_eq!(end.output, alloy_primitives::hex::encode(&recorded.return_value));
    }
}

#[test]
fn lines_have_the_form_of_go_ethereum() {
    let told = lines("{}", &state(REVERTS, ""));
    let told: Vec<_> = told.iter().map(|line| serde_json::to_string(line).expect("JSON")).collect();
    let expected = [
        concat!(
            r#"{"pc":0,"op":96,"gas":"0x2bae8","gasCost":"0x3","#,
            r#""memSize":0,"stack":[],"depth":1,"refund":0,"opName":"PUSH1"}"#,
        ),
        concat!(
            r#"{"pc":2,"op":96,"gas":"0x2bae5","gasCost":"0x3","#,
            r#""memSize":0,"stack":["0x0"],"depth":1,"refund":0,"opName":"PUSH1"}"#,
        ),
        concat!(
            r#"{"pc":4,"op":253,"gas":"0x2bae2","gasCost":"0x0","#,
            r#""memSize":0,"stack":["0x0","0x0"],"depth":1,"refund":0,"opName":"REVERT"}"#,
        ),
        concat!(
            r#"{"pc":4,"op":253,"gas":"0x2bae2","gasCost":"0x0","#,
            r#""memSize":0,"stack":[],"depth":1,"refund":0,"opName":"REVERT","#,
            r#""error":"execution reverted"}"#,
        ),
        r#"{"output":"","gasUsed":"0x6","error":"execution reverted"}"#,
    ];
    assert_eq!(told, expected);
    let told = lines(r#"{ "disableStack": true }"#, &state("00", ""));
    let told = serde_json::to_value(&told[0]).expect("JSON");
    assert_eq!(
        (&told["stack"], &told["opName"]),
        (&serde_json::Value::Null, &serde_json::json!("STOP"))
    );
}

#[test]
fn what_is_not_begun_has_one_line_and_what_fails_has_two() {
    let (told, end) = split(lines("{}", &state("01", "")));
    let error = Some("stack underflow (0 <=> 2)".to_owned());
    assert_eq!((told.len(), &told[0].error, &end.error), (1, &error, &error));
    let (told, end) = split(lines("{}", &state(JUMPS_WRONG, "")));
    let error = Some("invalid jump destination".to_owned());
    assert_eq!(told.len(), 3);
    assert_eq!((&told[1].error, &told[2].error, &end.error), (&None, &error, &error));
    assert_eq!((told[1].pc, told[2].pc), (2, 2));
    assert_eq!(end.gas_used.to::<u64>(), 178_920, "all that there was");
    // A transfer has no instructions.
    let (told, end) = split(lines("{}", &state("", "")));
    assert_eq!((told.len(), end.gas_used.to::<u64>(), end.error), (0, 0, None));
}

#[test]
fn it_ends_when_it_is_given_up() {
    let state = state(LOOPS, "");
    let budget = TraceBudget::new(0, || true);
    let mut count = 0_u64;
    let mut sink = |_: &StandardLine| count += 1;
    let told = at(&state, |place| {
        let (subject, options) = (tx(), GethDefaultTracingOptions::default());
        trace_standard(place, TraceSubject::Tx(&subject), &options, &budget, &mut sink)
    });
    assert_eq!(told, Err(TraceError::GivenUp));
    assert!(count < 2_048, "{count}");
}
